"""A model counts only when it is whole and verified, whatever happened on the way: races, kills,
full disks, damage."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli.models import app
from engines.errors import AttuneError
from engines.models.cache import fetch, model_path, verify
from engines.models.manifest import Model, find_model, load_manifest
from tests.support.model_fakes import (
    REVISION,
    WEIGHTS,
    Hub,
    entry,
    hub_model,
    ignore_progress,
    left_behind,
    model_of,
    sha256,
)
from tests.support.places import PROJECT


def test_fetches_at_the_same_time_share_one_download(hub: Hub, tmp_path: Path) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(hub_model(), tmp_path, ignore_progress)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(hub.asked) == 1


FETCH_IN_A_PROCESS = """
import resource, sys
from pathlib import Path
from engines.models.cache import fetch
from engines.models.manifest import Model
from engines.errors import AttuneError
if int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    fetch(Model.model_validate_json(sys.argv[1]), Path(sys.argv[2]), lambda done, total: None)
except AttuneError as error:
    sys.exit(str(error))
"""


def process_command(model: Model, cache_dir: Path, limit_bytes: int = 0) -> list[str]:
    return [
        sys.executable,
        "-c",
        FETCH_IN_A_PROCESS,
        model.model_dump_json(by_alias=True),
        str(cache_dir),
        str(limit_bytes),
    ]


def test_a_killed_fetch_counts_for_nothing_and_the_next_one_cleans_up(
    hub: Hub, tmp_path: Path
) -> None:
    hub.stall_after_bytes = len(WEIGHTS) // 2
    with subprocess.Popen(process_command(hub_model(), tmp_path), cwd=PROJECT) as process:
        assert hub.stalled.wait(120)
        process.send_signal(signal.SIGKILL)
    assert verify(hub_model(), tmp_path) == "not fetched"
    assert len(left_behind(tmp_path)) == 1  # half a file, under a name that nobody looks for
    hub.stall_after_bytes = None
    fetch(hub_model(), tmp_path, ignore_progress)
    assert left_behind(tmp_path) == [sha256(WEIGHTS)]
    assert verify(hub_model(), tmp_path) is None


def test_a_disk_that_takes_no_more_gives_one_line_and_leaves_nothing(
    hub: Hub, tmp_path: Path
) -> None:
    done = subprocess.run(
        process_command(hub_model(), tmp_path, 100_000),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the model tiny cannot be stored" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert left_behind(tmp_path) == []


def test_a_model_larger_than_the_disk_is_not_even_started(hub: Hub, tmp_path: Path) -> None:
    file = {"path": "model.bin", "sha256": sha256(WEIGHTS), "bytes": 1 << 60}
    huge = entry({"source": f"hf:maker/tiny@{REVISION}", "files": [file]})
    with pytest.raises(AttuneError, match="MB are free"):
        fetch(huge, tmp_path, ignore_progress)
    assert hub.asked == []


# --- what is on the disk --------------------------------------------------------------------------


def test_damage_is_found_named_and_repaired(hub: Hub, tmp_path: Path) -> None:
    path = fetch(hub_model(), tmp_path, ignore_progress)
    path.write_bytes(b"?" + WEIGHTS[1:])
    assert "expected" in str(verify(hub_model(), tmp_path))
    fetch(hub_model(), tmp_path, ignore_progress)
    assert path.read_bytes() == WEIGHTS
    assert len(hub.asked) == 2
    assert left_behind(tmp_path) == [sha256(WEIGHTS)]


def write_manifest(folder: Path, source: str, files: dict[str, bytes]) -> Path:
    listed = ", ".join(
        f'{{ path = "{path}", sha256 = "{sha256(data)}", bytes = {len(data)} }}'
        for path, data in files.items()
    )
    manifest = folder / "models.toml"
    head = '[[model]]\nname = "tiny"\nrole = "test"\nlicence = "MIT"\n'
    manifest.write_text(f'{head}[[model.origin]]\nsource = "{source}"\nfiles = [{listed}]\n')
    return manifest


def test_an_engine_gets_a_path_only_to_an_intact_model(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "model.bin").write_bytes(WEIGHTS)
    manifest = write_manifest(tmp_path, f"file:{tmp_path}/here", {"model.bin": WEIGHTS})
    with pytest.raises(AttuneError, match="attune models fetch tiny"):
        model_path("tiny", tmp_path, manifest)
    path = fetch(find_model("tiny", manifest), tmp_path, ignore_progress)
    assert model_path("tiny", tmp_path, manifest) == path
    before = path.stat()
    path.write_bytes(b"?" + WEIGHTS[1:])
    # Not even a forged time hides the damage.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(AttuneError, match="damaged"):
        model_path("tiny", tmp_path, manifest)
    path.unlink()
    with pytest.raises(AttuneError, match=r"model\.bin is missing"):
        model_path("tiny", tmp_path, manifest)


def test_a_model_of_the_systems_is_read_where_it_lies_and_fetched_only_where_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path}/local:{tmp_path}/share")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "model.bin").write_bytes(WEIGHTS)
    manifest = write_manifest(tmp_path, f"file:{tmp_path}/here", {"model.bin": WEIGHTS})
    model = find_model("tiny", manifest)
    shared = model.folder(tmp_path / "share" / "attune") / "model.bin"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(WEIGHTS)
    shared.parent.chmod(0o555)
    cache = tmp_path / "cache"
    assert model_path("tiny", cache, manifest) == shared
    assert fetch(model, cache, ignore_progress) == shared
    assert not list(cache.rglob("model.bin"))
    shared.write_bytes(b"?" + WEIGHTS[1:])
    with pytest.raises(AttuneError, match=f"damaged: {shared.parent}"):
        model_path("tiny", cache, manifest)
    assert fetch(model, cache, ignore_progress) == model_path("tiny", cache, manifest)
    assert model_path("tiny", cache, manifest).is_relative_to(cache)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match=r"whisper-tiny\.en"):
        model_path("whisper-enormous", tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[model]\n", "cannot be read"),
        ('[[model]]\nname = "x"\n', "wrong at model.0"),
        ("", "wrong at model"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    manifest = tmp_path / "models.toml"
    manifest.write_text(text)
    with pytest.raises(AttuneError) as caught:
        load_manifest(manifest)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_parts_is_joined_and_the_parts_are_not_kept(tmp_path: Path) -> None:
    content = {"config.json": b"{}", "model.bin.1": b"first ", "model.bin.2": b"second"}
    source = tmp_path / "source"
    source.mkdir()
    for name, data in content.items():
        (source / name).write_bytes(data)
    whole = content["model.bin.1"] + content["model.bin.2"]
    joined = {
        "path": "model.bin",
        "parts": ["model.bin.1", "model.bin.2"],
        "sha256": sha256(whole),
        "bytes": len(whole),
    }
    origins = model_of(f"file:{source}", content).model_dump(by_alias=True)
    model = Model.model_validate(origins | {"joined": [joined]})
    path = fetch(model, tmp_path / "cache", ignore_progress)
    assert sorted(one.name for one in path.iterdir()) == ["config.json", "model.bin"]
    assert (path / "model.bin").read_bytes() == whole
    assert verify(model, tmp_path / "cache") is None
    (source / "model.bin.2").write_bytes(b"broken")
    with pytest.raises(AttuneError, match=r"refused: model\.bin has the sha256"):
        fetch(model, tmp_path / "another", ignore_progress)
    with pytest.raises(ValueError, match=r"no origin has model\.bin\.3"):
        Model.model_validate(origins | {"joined": [joined | {"parts": ["model.bin.3"]}]})


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../b", ".hidden", ""])
def test_a_manifest_cannot_write_outside_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        model_of("file:/tmp", {path: b""})


# --- the command, and the models that ship --------------------------------------------------------


def test_the_command_lists_and_verifies_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE__CACHE_DIR", str(tmp_path))
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert listed.exit_code == 0
    models = {model["name"]: model for model in json.loads(listed.stdout)}
    assert models["whisper-tiny.en"]["here"] is False
    assert all(
        len(model["sha256"]) == 64 and model["licence"] and model["sources"]
        for model in models.values()
    )
    verified = CliRunner().invoke(app, ["verify", "--json", "whisper-tiny.en"])
    assert verified.exit_code == 1
    assert json.loads(verified.stdout) == [
        {"name": "whisper-tiny.en", "intact": False, "problem": "not fetched"}
    ]
    assert isinstance(verified.exception, AttuneError)


def test_the_default_models_are_intact(
    whisper_folder: Path, llm_path: Path, general_speech: Path
) -> None:
    assert sorted(path.name for path in whisper_folder.iterdir() if path.name[0] != ".") == [
        "config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.txt",
    ]
    assert llm_path.read_bytes()[:4] == b"GGUF"
    assert len(list(general_speech.rglob("*.g722"))) == 568
    assert (
        "agent-pass: Please enter your password"
        in (general_speech / "core-sounds-en.txt").read_text()
    )
