"""Quotas: what goes when they are full, and that nothing precious or served ever does."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.attention import Attention
from daemon.config.settings import Settings
from daemon.housekeeping import Housekeeping
from daemon.serving.moves import Moves
from daemon.store.records import Turn
from daemon.store.retention import Stored, surplus, surplus_generations
from daemon.store.store import Store
from engines.generations.card import Card
from engines.generations.folder import write_generation
from engines.generations.pointers import promote
from tests.support.fakes import tone
from tests.support.simulated_time import Time

stored = st.lists(
    st.builds(
        Stored,
        st.integers(0, 99).map(lambda number: Path(str(number))),
        st.integers(0, 50),
        st.booleans(),
    ),
    unique_by=lambda one: one.path,
)


@given(stored, st.integers(0, 500))
def test_the_rest_fits_or_is_precious_and_no_more_goes_than_must(
    files: list[Stored], quota_bytes: int
) -> None:
    gone = surplus(files, quota_bytes)
    left = [one for one in files if one not in gone]
    assert not any(one.precious for one in gone)
    assert sum(one.size_bytes for one in left) <= quota_bytes or all(one.precious for one in left)
    if gone:
        assert sum(one.size_bytes for one in left) + gone[-1].size_bytes > quota_bytes
        youngest = max(map(files.index, gone))
        assert all(one.precious or files.index(one) > youngest for one in left)


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.integers(1, 9))
def test_the_newest_generations_stay_beside_those_that_are_served(
    numbers: set[int], served: set[int], most: int
) -> None:
    gone = surplus_generations(list(numbers), served, most)
    assert not set(gone) & served
    left = sorted(numbers - served - set(gone))
    assert len(left) == min(most, len(numbers - served))
    assert not gone or not left or max(gone) < min(left)


@dataclass
class House:
    settings: Settings
    store: Store
    keeping: Housekeeping
    time: Time


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    storage = {
        "audio_bytes": 40_000,
        "features_bytes": 2500,
        "generations": 2,
        "days_of_turns": 30.0,
    }
    settings = Settings.model_validate(
        {"state_dir": tmp_path / "state", "cache_dir": tmp_path / "cache", "storage": storage}
    )
    time = Time()
    store = Store(settings.state_dir, time.clocks)
    moves = Moves(settings.generations, lambda generation: None)
    yield House(
        settings, store, Housekeeping(settings, store, Attention(), moves, time.clocks), time
    )
    store.close()


def test_utterances_go_but_for_what_a_person_gave(house: House) -> None:
    utterances = [
        house.store.add_utterance(tone(1.0, pitch), "microphone") for pitch in range(200, 208)
    ]
    for number, utterance in enumerate(utterances):
        house.store.add_label(
            utterance.id, f"words {number}", "corrected" if number % 2 == 0 else "recognised", 0.9
        )
    house.store.history.add_turn(
        Turn(utterances[1].id, "cascade", "words 1", "reply", 1.0, 2.0, None, 1.0)
    )
    size_bytes = utterances[0].audio.stat().st_size
    assert 8 * size_bytes > 40_000 > 4 * size_bytes
    assert house.keeping.tidy() > 0
    left = [utterance for utterance in utterances if house.store.utterance(utterance.id)]
    assert sum(utterance.audio.stat().st_size for utterance in left) <= 40_000
    assert set(utterances[::2]) <= set(left)
    assert utterances[-1] in left, "the youngest stay"
    assert sorted(path.name for path in house.store.audio_folder.iterdir()) == sorted(
        one.audio.name for one in left
    )
    turn = house.store.history.last_turns(1)[0]
    assert (turn.heard, turn.utterance) == ("words 1", None)
    assert house.keeping.problem == ""
    for pitch in range(300, 308):
        enrolled = house.store.add_utterance(tone(1.0, pitch), "enrolled")
        house.store.add_label(enrolled.id, "words", "enrolled")
    house.keeping.tidy()
    assert house.store.counts().labels_by_origin["enrolled"] == 8
    assert "they are never removed, so raise storage.audio_bytes" in house.keeping.problem


def test_recordings_that_nobody_gave_go_when_they_are_old_with_what_was_computed_of_them(
    house: House,
) -> None:
    features = house.settings.cache_dir / "features"
    features.mkdir(parents=True)
    said = {}
    for number, origin in enumerate(("recognised", "enrolled", "corrected", None)):
        utterance = house.store.add_utterance(tone(0.1, 200 + 50 * number), "microphone")
        if origin is not None:
            house.store.add_label(utterance.id, "words", origin)  # type: ignore[arg-type]
        (features / f"{utterance.id}.key.npy").write_bytes(b"frames")
        os.utime(features / f"{utterance.id}.key.npy", (house.time.wall, house.time.wall))
        said[origin] = utterance
    house.time.passes(364 * 86_400)
    young = house.store.add_utterance(tone(0.1, 500), "microphone")
    assert house.keeping.tidy() == 4, "the frames, which nothing has used"
    house.time.passes(2 * 86_400)
    assert house.keeping.tidy() == 2
    left = {name for name, one in said.items() if house.store.utterance(one.id)}
    assert left == {"enrolled", "corrected"}
    assert house.store.utterance(young.id)
    assert len(list(house.store.audio_folder.iterdir())) == 3


def test_features_go_the_longest_unused_first_and_the_replay_set_stays(house: House) -> None:
    features = house.settings.cache_dir / "features"
    for number, folder in enumerate(
        (features, features / "lessons", features, features / "replay")
    ):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.bin"
        path.write_bytes(bytes(1000))
        used_at = house.time.wall - 1000 + number
        os.utime(path, (used_at, used_at))
    assert house.keeping.tidy() == 1
    assert sorted(path.name for path in features.rglob("*.bin")) == ["1.bin", "2.bin", "3.bin"]


def test_generations_that_nobody_serves_go(house: House, tmp_path: Path) -> None:
    root, empty = house.settings.generations, tmp_path / "empty"
    empty.write_bytes(b"")
    for number in range(8):
        card = Card(number=number, parent=None, created_at="", recipe="test")
        write_generation(
            root, number, card, {"projector.onnx": empty, "projector.safetensors": empty}
        )
    promote(root, 1)
    promote(root, 2)
    # Written, and waiting for its verdict.
    (house.settings.state_dir / "jobs" / "0003").mkdir(parents=True)
    assert house.keeping.tidy() == 2
    assert sorted(path.name for path in root.iterdir()) == [
        "0000",
        "0001",
        "0002",
        "0003",
        "0006",
        "0007",
    ]
    assert house.keeping.tidy() == 0


def test_old_turns_go(house: House) -> None:
    for number in range(40):
        house.store.history.add_turn(
            Turn(None, "text", f"words {number}", "reply", 1.0, 2.0, None, house.time.wall)
        )
        house.time.passes(86_400)
    assert house.keeping.tidy() == 10
    assert house.store.counts().turns == 30
