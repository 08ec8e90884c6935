"""The line of `attune talk` that moves while somebody speaks: how loud it is."""

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ...events.event import Event
from ...events.turns import HeardSoFar, Level, SpeechBegan, TurnEvent
from ...plain_text import plain

_QUIET_DB, _LOUD_DB = -60.0, -6.0
_WIDTH = 30
_TOO_QUIET_DB, _TOO_LOUD_DB = -45.0, -3.0
_LONGEST_LEVELS = 400
"""Levels after which the line goes even if no turn followed: forty seconds."""


class SpokenMeter:
    """Shows the level from the beginning of speech until its turn is heard, and in dictation the
    words so far. Nothing moves otherwise, so that a line can be typed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._levels = 0
        self._so_far = ""

    def take(self, event: Event) -> None:
        """Take the next event, before it is shown."""
        match event:
            case SpeechBegan():
                if self._live is None:
                    self._live = Live(console=self._console, transient=True, auto_refresh=False)
                    self._live.start()
                self._levels, self._so_far = 0, ""
            case HeardSoFar(text=text):
                self._so_far = text
            case Level(db=db):
                self._levels += 1
                if self._live is not None:
                    self._live.update(
                        Group(bar(db), self._tail()) if self._so_far else bar(db), refresh=True
                    )
                if self._levels > _LONGEST_LEVELS:
                    self._stop()
            case TurnEvent():
                self._stop()
            case _:
                pass

    def _tail(self) -> Text:
        """The end of what was heard so far, on one line."""
        room = self._console.width - 1
        return Text(plain(self._so_far)[-room:], "dim", no_wrap=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def bar(db: float) -> Text:
    """One line for a level in decibels below full scale."""
    share = min(1.0, max(0.0, (db - _QUIET_DB) / (_LOUD_DB - _QUIET_DB)))
    filled = round(share * _WIDTH)
    note = " too quiet" if db < _TOO_QUIET_DB else " too loud" if db > _TOO_LOUD_DB else ""
    style = "yellow" if note else "green"
    return Text.assemble(
        "listening ", ("█" * filled, style), ("·" * (_WIDTH - filled), "dim"), note
    )
