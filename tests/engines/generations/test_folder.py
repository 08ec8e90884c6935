"""Generations on disk: whole or absent, never overwritten, never served damaged; pointers that
survive a kill."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import AttuneError
from engines.generations.card import training_time
from engines.generations.folder import (
    Damaged,
    Generation,
    list_generations,
    next_number,
    projector_of,
    read_generation,
    sweep,
    write_generation,
)
from engines.generations.pointers import current, previous, promote, rollback, usable
from tests.support.generations import CARD, numbers, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "generations"


def test_what_is_written_is_read_back(root: Path) -> None:
    written = write(root, 7)
    assert written == read_generation(root / "0007")
    assert written.number == written.card.number == 7
    assert written.folder == root / "0007"
    assert projector_of(written)[0].read_bytes() == b"weights7"
    assert set(written.card.files) == {
        "projector.onnx",
        "projector.safetensors",
        "adapter/lora.safetensors",
    }
    assert [path.name for path in root.iterdir()] == ["0007"]


@pytest.mark.parametrize("name", ["projector.onnx", "projector.safetensors"])
def test_a_projector_is_there_whole_or_not_at_all(root: Path, tmp_path: Path, name: str) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"weights")
    without = write_generation(root, 1, CARD, {"recogniser.safetensors": weights})
    assert (without.projector, without.weights) == (None, None)
    assert without.recogniser == root / "0001" / "recogniser.safetensors"
    with pytest.raises(AttuneError, match=r"0001 has no projector.*whisper-tiny.en"):
        projector_of(without)
    with pytest.raises(AttuneError, match=rf"0002.*lists {name}, but no projector"):
        write_generation(root, 2, CARD, {name: weights})


def test_a_card_of_a_time_when_only_wall_time_was_kept_still_opens(root: Path) -> None:
    card = root / "0001" / "card.json"
    write(root, 1)
    kept = json.loads(card.read_text())
    del kept["processor_seconds"], kept["wall_seconds"]
    card.write_text(json.dumps(kept | {"training_seconds": 61.5}))
    found = read_generation(root / "0001").card
    assert (found.processor_seconds, found.wall_seconds) == (None, 61.5)
    assert training_time(found.processor_seconds, found.wall_seconds) == "62 s by the clock"
    assert training_time(60.0, 75.0) == "60 s of processor time per thread (75 s by the clock)"


def test_a_generation_is_never_overwritten(root: Path) -> None:
    write(root, 1, b"first")
    with pytest.raises(AttuneError, match="0001 exists already"):
        write(root, 1, b"second")
    (root / "0002").mkdir()  # rename would silently replace an empty folder
    with pytest.raises(AttuneError, match="0002 exists already"):
        write(root, 2)
    assert projector_of(read_generation(root / "0001"))[0].read_bytes() == b"first1"
    assert sorted(path.name for path in root.iterdir()) == ["0001", "0002"]


def test_a_missing_source_leaves_nothing(root: Path) -> None:
    with pytest.raises(AttuneError, match=r"0001 could not be written .*gone.*nothing was changed"):
        write_generation(root, 1, CARD, {"projector.onnx": root / "gone"})
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../escape", "/etc/passwd", "a/../../b", "", ".", "a//b", "card.json"]
)
def test_names_stay_inside_the_folder(root: Path, name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(ValueError, match="not names"):
        write_generation(root, 1, CARD, {name: source})


@pytest.mark.parametrize("number", [-1, 10_000])
def test_numbers_have_four_digits(root: Path, number: int) -> None:
    with pytest.raises(AttuneError, match="run from 0 to 9999"):
        write_generation(root, number, CARD, {})


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "projector.onnx").read_bytes())
    data[0] ^= 1
    (folder / "projector.onnx").write_bytes(data)


def shorten(folder: Path) -> None:
    os.truncate(folder / "projector.safetensors", 3)


def lose(folder: Path) -> None:
    (folder / "adapter/lora.safetensors").unlink()


def lose_the_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def spoil_the_card(folder: Path) -> None:
    (folder / "card.json").write_text("{")


def swell_the_card(folder: Path) -> None:
    (folder / "card.json").write_text(" " * 2_000_000)


def swap_the_card(folder: Path) -> None:
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace('"number": 1', '"number": 2'))


def reach_outside(folder: Path) -> None:
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace('"projector.onnx"', '"../0000/projector.onnx"'))


def replace_by_a_pipe(folder: Path) -> None:
    (folder / "projector.onnx").unlink()
    os.mkfifo(folder / "projector.onnx")


DAMAGES = [
    flip_a_bit,
    shorten,
    lose,
    lose_the_card,
    spoil_the_card,
    swell_the_card,
    swap_the_card,
    reach_outside,
    replace_by_a_pipe,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_named_and_passed_over(root: Path, damage: object) -> None:
    assert callable(damage)
    write(root, 0)
    write(root, 1)
    promote(root, 0)
    promote(root, 1)
    damage(root / "0001")
    with pytest.raises(AttuneError, match=r"0001 is damaged \(.+\); choose another"):
        current(root)
    found, reasons = usable(root)
    assert found is not None
    assert found.number == 0
    assert len(reasons) == 1
    assert "0001" in reasons[0]
    assert "\n" not in reasons[0]
    assert [type(entry) for entry in list_generations(root)] == [Generation, Damaged]
    with pytest.raises(AttuneError, match="0001 is damaged"):
        promote(root, 1)


def test_damage_is_found_after_the_checksum_was_remembered(root: Path) -> None:
    folder = write(root, 1).folder
    long_ago = 1_000_000_000
    os.utime(folder / "projector.onnx", (long_ago, long_ago))
    read_generation(folder)
    before = (folder / "projector.onnx").stat()
    flip_a_bit(folder)
    # The times that can be forged say that nothing changed.
    os.utime(folder / "projector.onnx", (before.st_atime, before.st_mtime))
    with pytest.raises(AttuneError, match="not what was written"):
        read_generation(folder)


def test_pointers_move_and_come_back(root: Path) -> None:
    for number in range(4):
        write(root, number)
    assert numbers(root) == (None, None)
    promote(root, 1)
    assert numbers(root) == (1, 0), "the base was served until then"
    promote(root, 2)
    promote(root, 3)
    assert numbers(root) == (3, 2)
    promote(root, 3)
    assert numbers(root) == (3, 2), "promoting what is current changes nothing"
    assert rollback(root).number == 2
    assert numbers(root) == (2, 2)
    with pytest.raises(AttuneError, match="0002 is both current and previous"):
        rollback(root)
    promote(root, 3)
    assert numbers(root) == (3, 2)
    assert os.readlink(root.parent / "current") == "generations/0003"


def test_a_state_folder_can_be_moved(root: Path, tmp_path: Path) -> None:
    write(root, 0)
    promote(root, 0)
    shutil.move(root.parent, tmp_path / "elsewhere")
    moved = current(tmp_path / "elsewhere" / "generations")
    assert moved is not None
    assert moved.number == 0


def test_nothing_to_roll_back_to(root: Path) -> None:
    write(root, 0)
    promote(root, 0)
    with pytest.raises(AttuneError, match="no previous generation"):
        rollback(root)
    assert numbers(root) == (0, None)


def test_promoting_what_is_not_there_moves_nothing(root: Path) -> None:
    write(root, 0)
    promote(root, 0)
    with pytest.raises(AttuneError, match="0005 is damaged"):
        promote(root, 5)
    assert numbers(root) == (0, None)


def test_a_damaged_generation_does_not_become_previous(root: Path) -> None:
    for number in range(3):
        write(root, number)
    promote(root, 0)
    promote(root, 1)
    flip_a_bit(root / "0001")
    promote(root, 2)
    assert numbers(root) == (2, 0)


def test_rollback_to_a_damaged_generation_is_refused(root: Path) -> None:
    write(root, 0)
    write(root, 1)
    promote(root, 1)
    flip_a_bit(root / "0000")
    with pytest.raises(AttuneError, match="0000 is damaged"):
        rollback(root)
    assert current(root) == read_generation(root / "0001")


@pytest.mark.parametrize(
    "target",
    ["/etc", "../generations/0000", "generations/../0000", "elsewhere/0000", "generations/12"],
)
def test_a_pointer_to_elsewhere_is_not_followed(root: Path, target: str) -> None:
    write(root, 0)
    (root.parent / "current").symlink_to(target)
    with pytest.raises(AttuneError, match="no generation in"):
        current(root)
    found, reasons = usable(root)
    assert found is not None
    assert found.number == 0
    assert len(reasons) == 1


def test_a_pointer_that_is_no_link(root: Path) -> None:
    write(root, 0)
    (root.parent / "current").write_text("0000")
    with pytest.raises(AttuneError, match="is not a link"):
        current(root)


def test_no_generations_at_all(root: Path) -> None:
    assert (current(root), previous(root), usable(root), list_generations(root), sweep(root)) == (
        None,
        None,
        (None, []),
        [],
        [],
    )
    assert next_number(root) == 1


def test_everything_damaged_gives_every_reason_once(root: Path) -> None:
    write(root, 0)
    write(root, 1)
    promote(root, 1)
    lose(root / "0000")
    lose(root / "0001")
    found, reasons = usable(root)
    assert found is None
    assert len(reasons) == 2


def test_damaged_numbers_are_not_used_again(root: Path) -> None:
    write(root, 4)
    lose_the_card(root / "0004")
    assert next_number(root) == 5


def test_sweep_waits_for_a_writer(root: Path) -> None:
    write(root, 0)
    leftover = root / ".0003.abc"
    leftover.mkdir()
    pipe = root.parent / "pipe"
    os.mkfifo(pipe)
    files = {"projector.onnx": pipe, "projector.safetensors": root / "0000" / "card.json"}
    writer = threading.Thread(target=write_generation, args=(root, 1, CARD, files))
    writer.start()
    # Opens once the writer reads: it holds its folder from before that.
    with pipe.open("wb") as source:
        assert sweep(root) == []
        source.write(b"slow")
    writer.join()
    assert projector_of(read_generation(root / "0001"))[0].read_bytes() == b"slow"
    assert sweep(root) == [leftover]
    assert sorted(path.name for path in root.iterdir()) == ["0000", "0001"]


@settings(max_examples=30)
@given(
    content=st.dictionaries(
        st.sampled_from(["projector.onnx", "projector.safetensors", "a", "b/c"]),
        st.binary(max_size=64),
    )
)
def test_any_files_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]
) -> None:
    content = {"projector.onnx": b"", "projector.safetensors": b""} | content
    folder = tmp_path_factory.mktemp("property")
    sources = {name: folder / name.replace("/", "-") for name in content}
    for name, path in sources.items():
        path.write_bytes(content[name])
    written = write_generation(folder / "generations", 1, CARD, sources)
    assert {name: (written.folder / name).read_bytes() for name in written.card.files} == content


def test_a_generation_of_another_version_is_told_from_a_damaged_one(root: Path) -> None:
    folder = write(root, 0).folder
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"invented_later": 1}))
    with pytest.raises(
        AttuneError, match="another version of Attune; remove it and run `attune engines build`"
    ):
        read_generation(folder)
