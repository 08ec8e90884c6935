"""`attune doctor --privacy`: what it says is what is so."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.app import App
from daemon.store.overview import overview
from daemon.store.store import DATABASE
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from tests.daemon.cli.test_cli import Attune, attune, daemon, folder
from tests.support.audio_fixtures import tone

__all__ = ["attune", "daemon", "folder"]

Findings = dict[str, tuple[bool, str]]


@pytest.fixture
def look(attune: Attune) -> Callable[[], Findings]:
    def run() -> Findings:
        code, out, _ = attune("doctor", "--privacy", "--json")
        assert code == 0
        return {part: (one["well"], one["found"]) for part, one in json.loads(out).items()}

    return run


def test_what_is_kept_and_learnt_is_shown(
    attune: Attune, daemon: App, folder: Path, look: Callable[[], Findings]
) -> None:
    before = look()
    assert before["stored"] == (True, "nothing")
    rows = []
    for index in range(20):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"number {index}"}))
    (folder / "good.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert attune("enroll", "--from", folder / "good.jsonl")[0] == 0
    assert attune("adapt", "--now")[0] == 0
    found = look()
    assert found["consent"][1].startswith("what you say, to learn from it: you agreed on")
    assert found["recordings"][1].startswith("20, since 2")
    assert found["labels"] == (True, "20")
    assert found["generation 0001"] == (True, "learnt from 20 recordings")
    assert found["connections"] == (True, "none to another machine now")
    assert found["control socket"][0]
    assert (found["HTTP"], found["Wyoming"]) == ((True, "not served"), (True, "not served"))
    assert not found["encryption"][0]
    assert attune("data", "forget", "--all", "--yes")[0] == 0
    found = look()
    assert found["stored"] == (True, "nothing")
    assert found["withdrawn"][1].startswith("0001: ")
    assert found["key of receipts"][0]


def test_what_others_could_read_is_shown(
    daemon: App, folder: Path, look: Callable[[], Findings]
) -> None:
    state = folder / "state"
    for path in state.rglob("*"):  # as the service makes them
        if path.is_file():
            path.chmod(0o600)
    assert look()["state"][0]
    (state / "audio" / "a.flac").write_bytes(b"sound")
    (state / "audio" / "a.flac").chmod(0o644)
    state.chmod(0o755)
    well, found = look()["state"]
    assert not well
    assert f"others can read 1 files in it: chmod -R go= {state}" in found
    state.chmod(0o700)
    assert look()["state"] == (True, found.split(";")[0] + "; only its owner can enter it")


@pytest.mark.parametrize(
    ("address", "well", "told"),
    [
        ("127.0.0.1:{}", True, "programs on this machine alone"),
        ("0.0.0.0:{}", False, "whoever reaches it can use it"),
    ],
)
def test_what_listens_is_shown(
    attune: Attune, daemon: App, address: str, well: bool, told: str
) -> None:
    where = address.format(10300)
    code, out, _ = attune("--set", f"wyoming.address={where}", "doctor", "--privacy", "--json")
    assert code == 0
    found = json.loads(out)["Wyoming"]
    assert found["well"] is well
    assert told in found["found"]


def test_without_a_daemon_and_without_a_state_it_says_so(look: Callable[[], Findings]) -> None:
    found = look()
    assert not found["consent"][0]
    assert "no daemon" in found["consent"][1].lower() or "attune" in found["consent"][1]
    assert found["stored"] == (True, "nothing")


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    assert overview(tmp_path / DATABASE) == []
    (tmp_path / DATABASE).write_bytes(b"no database" * 1000)
    with pytest.raises(AttuneError, match="is damaged"):
        overview(tmp_path / DATABASE)
