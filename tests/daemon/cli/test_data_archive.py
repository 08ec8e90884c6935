"""`attune data export`, `import` and `key`, as a user calls them."""

import json
from pathlib import Path

import pytest

from daemon.app import App
from engines.audio.recordings import write_flac
from tests.daemon.cli.test_cli import Attune, attune, daemon, folder
from tests.support.audio_fixtures import tone

__all__ = ["attune", "daemon", "folder"]


@pytest.fixture
def passphrase(folder: Path) -> Path:
    path = folder / "passphrase"
    path.write_text("four words that belong\n")
    return path


def enrolled(attune: Attune, folder: Path) -> None:
    rows = []
    for index in range(3):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"number {index}"}))
    (folder / "good.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert attune("enroll", "--from", folder / "good.jsonl")[0] == 0


def test_what_is_exported_is_taken_up_elsewhere(
    attune: Attune, daemon: App, folder: Path, passphrase: Path
) -> None:
    enrolled(attune, folder)
    path = folder / "mine.attune"
    code, out, error = attune("data", "export", path, "--passphrase-file", passphrase)
    assert (code, error) == (0, "")
    assert out.startswith("4 files, ")
    assert "exists; give the name of a new one" in " ".join(
        attune("data", "export", path, "--passphrase-file", passphrase)[2].split()
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ATTUNE__STATE_DIR", str(folder / "other"))
        code, out, error = attune("data", "import", path, "--passphrase-file", passphrase)
        assert (code, error) == (0, "")
        assert out.startswith("4 files of 2")
        assert "holds 3 utterances already" in attune(
            "data", "import", path, "--passphrase-file", passphrase
        )[2].replace("\n", " ")
        code, out, _ = attune("data", "key", "--json")
        assert json.loads(out)["where"] == str(folder / "other" / "attune.key")
    code, out, error = attune("data", "import", path, "--passphrase-file", passphrase)
    assert code == 1
    assert "already uses" in error.replace("\n", " "), "the daemon runs"


def test_a_passphrase_is_asked_for_and_not_too_short(
    attune: Attune, daemon: App, folder: Path
) -> None:
    enrolled(attune, folder)
    code, _, error = attune("data", "export", folder / "x")
    assert code == 1
    assert "give --passphrase-file" in error
    (folder / "short").write_text("short\n")
    code, _, error = attune("data", "export", folder / "x", "--passphrase-file", folder / "short")
    assert code == 1
    assert "12 characters or more" in error
    assert not (folder / "x").exists()
    code, _, error = attune(
        "data", "import", folder / "none", "--passphrase-file", folder / "short"
    )
    assert (code, "cannot be read" in error) == (1, True)


def test_the_key_is_shown_saved_and_changed(attune: Attune, daemon: App, folder: Path) -> None:
    enrolled(attune, folder)
    code, out, _ = attune("data", "key")
    assert code == 0
    assert f"in {folder / 'state' / 'attune.key'}" in out.replace("\n", "")
    copy = folder / "copy.key"
    assert attune("data", "key", "--save", copy)[0] == 0
    assert copy.read_text() == (folder / "state" / "attune.key").read_text()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "exists" in attune("data", "key", "--save", copy)[2]
    code, out, _ = attune("data", "key", "--new")
    assert (code, out) == (0, "4 files encrypted with a new key\n")


def test_plain_recordings_are_written_for_others(attune: Attune, daemon: App, folder: Path) -> None:
    enrolled(attune, folder)
    code, out, _ = attune("data", "export", "--plain", folder / "plain")
    assert (code, out[:14]) == (0, "3 recordings, ")
    assert len(list((folder / "plain").rglob("*.flac"))) == 3
