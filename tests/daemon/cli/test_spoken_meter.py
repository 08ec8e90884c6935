"""The line of `attune talk` that moves while somebody speaks."""

import io
import re

from rich.console import Console

from daemon.cli.spoken.spoken_meter import SpokenMeter, bar
from daemon.cli.spoken.talk import marked
from daemon.events.turns import Heard, HeardSoFar, Level, SpeechBegan


def test_the_bar_follows_the_level_and_fits_80_columns() -> None:
    silent, usual, loud = (bar(db).plain for db in (-90.0, -25.0, -1.0))
    assert silent.count("█") == 0
    assert 0 < usual.count("█") < loud.count("█")
    assert "too quiet" in silent
    assert "too loud" in loud
    assert "too" not in usual
    assert max(map(len, (silent, usual, loud))) < 80


def test_nothing_moves_while_nobody_speaks() -> None:
    screen = io.StringIO()
    meter = SpokenMeter(Console(file=screen, force_terminal=True, width=80))
    meter.take(Level(db=-30.0))
    assert screen.getvalue() == ""
    meter.take(SpeechBegan())
    meter.take(Level(db=-20.0))
    assert "listening" in screen.getvalue()
    meter.take(Heard(turn=1, source="microphone", text="hello"))
    before = screen.getvalue()
    meter.take(Level(db=-20.0))
    assert screen.getvalue() == before


def test_in_dictation_the_words_so_far_are_shown_in_one_line() -> None:
    screen = io.StringIO()
    meter = SpokenMeter(Console(file=screen, force_terminal=True, width=80))
    meter.take(SpeechBegan())
    meter.take(HeardSoFar(text="an early word " + "and on " * 40 + "\x1b]0;the latest word"))
    meter.take(Level(db=-20.0))
    assert "the latest word" in screen.getvalue()
    assert "early" not in screen.getvalue()
    assert "\x1b]0" not in screen.getvalue()
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert max(map(len, written.splitlines())) <= 80


def test_doubtful_words_are_marked() -> None:
    assert marked("Call Bea now.", (1,)).plain == "Call Bea(?) now."
    assert marked("Call Bea now.", ()).plain == "Call Bea now."
    assert marked("", ()).plain == ""


def test_a_line_that_no_turn_follows_goes_by_itself() -> None:
    screen = io.StringIO()
    meter = SpokenMeter(Console(file=screen, force_terminal=True, width=80))
    meter.take(SpeechBegan())
    for _ in range(500):
        meter.take(Level(db=-20.0))
    before = screen.getvalue()
    meter.take(Level(db=-20.0))
    assert screen.getvalue() == before
