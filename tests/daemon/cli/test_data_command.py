"""`attune data`: what is kept is shown, and forgotten."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from daemon.app import App
from daemon.cli.data.times import read_time
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from tests.daemon.cli.test_cli import Attune, attune, daemon, folder, one_line
from tests.support.audio_fixtures import tone

__all__ = ["attune", "daemon", "folder"]


@pytest.fixture
def enrolled(attune: Attune, daemon: App, folder: Path) -> Attune:
    rows = []
    for index in range(4):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"call Anna {index}"}))
    (folder / "good.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert attune("enroll", "--from", folder / "good.jsonl")[0] == 0
    return attune


def test_a_recording_is_found_and_forgotten(enrolled: Attune, folder: Path) -> None:
    code, out, _ = enrolled("data", "list", "--word", "anna", "--most", "3")
    assert code == 0
    assert out.count("call Anna") == 3
    assert "and 1 more" in out
    assert max(map(len, out.splitlines())) <= 80
    [one] = json.loads(enrolled("data", "list", "--word", "2", "--json")[1])["utterances"]
    plan = enrolled("data", "forget", one["utterance"][:8], "--plan")[1]
    assert plan == "to be forgotten: 1 recording (0.0 minutes), 0 turns\n"
    assert "only with --yes" in one_line(enrolled("data", "forget", one["utterance"]))
    code, out, _ = enrolled("data", "forget", one["utterance"], "--yes")
    assert code == 0
    assert f"receipt 0001 is in {folder / 'state' / 'receipts'}" in out
    code, out, _ = enrolled("data", "check", folder / "state" / "receipts" / "0001.json")
    assert out.startswith("receipt 0001, signed by ")
    assert "1 recording (0.0 minutes), 0 turns" in out
    assert enrolled("data", "list", "--word", "2")[1] == "nothing of that is kept\n"
    done = json.loads(enrolled("data", "forget", "--all", "--yes", "--json")[1])
    assert (done["utterances"], done["number"]) == (3, 2)
    assert "nothing to forget" in one_line(enrolled("data", "forget", "--all", "--yes"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give one of --turn"),
        (("--all", "--last"), "give one of --turn"),
        (("--since", "soon"), "is no time"),
        (("ffffff",), "there is no utterance ffffff"),
        (("xyz",), "is no recording"),
        (("--turn", "7"), "there is no turn 7"),
        (("--word", "?!"), "has a letter or a digit"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    enrolled: Attune, arguments: tuple[str, ...], told: str
) -> None:
    assert told in one_line(enrolled("data", "forget", *arguments, "--yes"))


def test_times_are_read_as_people_write_them() -> None:
    now = time.time()
    assert read_time(None) is None
    assert read_time("2h") == pytest.approx(now - 7200, abs=5)
    assert read_time("1.5 d") == pytest.approx(now - 129600, abs=5)
    assert read_time("2026-11-30T17:00") == datetime(2026, 11, 30, 17).timestamp()
    today = read_time("today")
    assert today is not None
    assert now - 90_000 < today <= now
    yesterday = read_time("Yesterday")
    assert yesterday is not None
    assert 82_000 < today - yesterday < 91_000
    for wrong in ("", "h", "-2h", "2026-13-01", "9" * 30):
        with pytest.raises(AttuneError, match="is no time"):
            read_time(wrong)


def test_what_was_written_down_by_itself_is_reviewed(
    enrolled: Attune, daemon: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = daemon.parts.store
    for number, sure in enumerate((0.9, 0.6, 0.7, 0.8)):
        utterance = store.add_utterance(tone(2.0, 400 + 50 * number), "microphone")
        store.add_label(utterance.id, f"heard as {number}", "recognised", sure)
    listed = json.loads(enrolled("data", "review", "--json")[1])["utterances"]
    assert [one["text"] for one in listed] == [f"heard as {n}" for n in (1, 2, 3, 0)]
    out = enrolled("data", "review", "--most", "2")[1]
    assert [line.split(": ")[1] for line in out.splitlines()] == ["“heard as 1”", "“heard as 2”"]
    assert "2.0 s, 60% sure" in out
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter(["x", "a", "f", "what was said", "d", "q"])
    monkeypatch.setattr("typer.prompt", lambda *_, **more: next(answers))
    assert enrolled("data", "review")[0] == 0
    assert store.confirmed_text(listed[0]["utterance"]) == "heard as 1"
    assert store.confirmed_text(listed[1]["utterance"]) == "what was said"
    assert store.utterance(listed[2]["utterance"]) is None
    assert store.confirmed_text(listed[3]["utterance"]) is None
    code, out, _ = enrolled("data", "label", listed[3]["utterance"][:8])
    assert (code, out) == (0, f"{listed[3]['utterance'][:8]}: “heard as 0”\n")
    assert "nothing is to be reviewed" in enrolled("data", "review")[1]
    long = one_line(enrolled("data", "label", listed[3]["utterance"], "w" * 400))
    assert "cannot have this text" in long
