"""The demo's arithmetic: which segments belong to which request, what the figures are called, and
that nothing is made up."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from daemon.cli.demo.report import (
    Exchange,
    Outcome,
    Row,
    Scores,
    report,
    write_figures,
    write_picture,
)
from daemon.cli.demo.speaker import PlayedTurn, assign
from daemon.client.temporary_daemon import private_daemon
from daemon.events.turns import TurnAnswered
from engines.errors import AttuneError

KEYS = {
    *(f"{name}_wer" for name in ("whisper", "before", "after")),
    *(f"{name}_rouge_l" for name in ("whisper", "before", "after")),
    *(f"{name}_first_token_ms" for name in ("whisper", "before", "after")),
    *("enrolled_seconds", "training_seconds", "wall_seconds", "peak_bytes", "after_doubted"),
    *("promoted", "reason"),
}


def turn(start: float, seconds: float, heard: str, reply: str = "") -> PlayedTurn:
    answered = TurnAnswered(
        turn=1,
        source="file",
        id=1,
        utterance=None,
        route="cascade",
        heard=heard,
        reply=reply,
        first_token_ms=100.0,
        reply_ms=200.0,
        generation=None,
        interrupted=False,
        confidence=None,
        sure=True,
        asked_back=False,
    )
    return PlayedTurn(start, seconds, answered)


def outcome(before: float = 0.6, after: float = 0.1) -> Outcome:
    return Outcome(
        whisper=Scores(0.5, 0.2, 500.0, 0.0),
        before=Scores(before, 0.1, 100.0, 0.5),
        after=Scores(after, 0.9, 90.0, 0.07),
        enrolled_seconds=600.0,
        training_seconds=120.0,
        wall_seconds=200.0,
        peak_bytes=1 << 30,
        promoted=True,
        reason="promoted: because",
    )


def test_each_request_gets_the_segments_cut_within_it() -> None:
    places: list[dict[str, float | str]] = [
        {"text": "one", "start_seconds": 1.0, "end_seconds": 3.0},
        {"text": "two", "start_seconds": 4.2, "end_seconds": 6.0},
        {"text": "three", "start_seconds": 7.2, "end_seconds": 9.0},
    ]
    turns = [turn(0.7, 1.2, "on"), turn(2.2, 1.0, "e", "first"), turn(6.9, 2.0, "three", "last")]
    rows = assign(places, turns, {"one": "reference"})
    assert [row.heard for row in rows] == ["on e", "", "three"]
    assert [row.reply for row in rows] == ["first", "", "last"]
    assert [row.reference for row in rows] == ["reference", "", ""]


def test_scores_come_from_what_was_heard() -> None:
    rows = [
        Row("Turn on the light.", "turn on the light", "yes it is", "yes it is"),
        Row("Call Ann.", "", "", "calling"),
    ]
    hearing = Scores.of(rows, [100.0, 300.0, 200.0], 0.25)
    assert hearing.word_error_rate == pytest.approx(2 / 6)
    assert hearing.rouge_l == pytest.approx(0.5)
    assert (hearing.first_token_ms, hearing.doubted) == (200.0, 0.25)


def test_the_figures_have_the_names_that_scripts_read(tmp_path: Path) -> None:
    write_figures({"clear": outcome(), "atypical": outcome()}, tmp_path / "build" / "demo.json")
    found = json.loads((tmp_path / "build" / "demo.json").read_text())
    assert found.keys() == {"clear", "atypical"}
    assert found["atypical"].keys() == KEYS
    assert found["atypical"]["after_first_token_ms"] == 90.0


@pytest.mark.parametrize(("after", "says"), [(0.1, False), (0.6, True), (0.7, True)])
def test_the_table_says_when_it_did_not_get_better(after: float, says: bool) -> None:
    shown = io.StringIO()
    report("atypical", outcome(after=after), Console(file=shown, width=120))
    assert ("did not get better" in shown.getvalue()) == says
    assert "promoted: because" in shown.getvalue()


def test_a_daemon_that_does_not_start_gives_its_last_line(tmp_path: Path) -> None:
    environment = {
        "STATE_DIR": str(tmp_path),
        "CACHE_DIR": str(tmp_path / "empty"),
        "CONTROL__SOCKET": str(tmp_path / "s.sock"),
    }
    with (
        pytest.raises(AttuneError, match="did not start: attune: .*attune models fetch"),
        private_daemon(environment, tmp_path / "daemon.log"),
    ):
        pytest.fail("it started without models")


def test_the_picture_shows_what_was_said_and_heard(tmp_path: Path) -> None:
    exchanges = [Exchange("Call Robert.", "Tall Wobbit", "Call Robert.", "Calling [Robert].")]
    write_picture(
        {"clear": outcome(), "atypical": replace(outcome(), exchanges=exchanges)},
        tmp_path / "demo.svg",
    )
    shown = (tmp_path / "demo.svg").read_text().replace("&#160;", " ")
    for part in ("Tall Wobbit", "Calling [Robert].", "The atypical speaker", "promoted: because"):
        assert part in shown
    assert "The clear speaker" not in shown


def test_nor_where_there_was_nothing_left_to_get_better() -> None:
    shown = io.StringIO()
    found = outcome(after=0.0)
    found = replace(found, before=replace(found.before, word_error_rate=0.0))
    report("atypical", found, Console(file=shown, width=120))
    assert "did not get better" not in shown.getvalue()
    assert "Before it learnt, it understood every word" in shown.getvalue()
