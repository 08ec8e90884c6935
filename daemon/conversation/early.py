"""A turn that is begun before its end is certain: nothing of it is told or kept until it is.

Knows no model and no store.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..events.turns import ReplyPiece, TurnEvent

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Preparation:
    """What can be done for a reply before it may be told, such as its sound. Both take no time."""

    prepare: Callable[[str], None] = lambda piece: None
    """Called with each piece of the reply as it is written."""
    forget: Callable[[], None] = lambda: None
    """Called if the turn is dropped."""


class Early:
    """Whether a turn that was begun early is kept. Safe to use from several threads."""

    def __init__(self, preparation: Preparation | None = None) -> None:
        self._preparation = preparation or Preparation()
        self._changed = threading.Condition()
        self._held: list[TurnEvent] = []
        """Events that are not told yet."""
        self.number: int | None = None
        """The number of the turn, which it gets when it is kept."""
        self.kept_at = 0.0
        """When it was kept, in seconds of `time.perf_counter`."""
        self.learn = True
        """Whether the audio may be stored, once it is kept."""
        self.dropped = False

    def keep(self, number: int, learn: bool, tell: Callable[[TurnEvent], None]) -> bool:
        """Keep the turn, as turn `number`, and tell what happened in it so far. With `learn` its
        audio may be stored. Returns whether it is kept: a turn that was dropped, or has failed, is
        not."""
        with self._changed:
            if self.dropped:
                return False
            self.number, self.learn, self.kept_at = number, learn, time.perf_counter()
            for event in self._held:
                tell(event.model_copy(update={"turn": number}))
            self._held.clear()
            self._changed.notify_all()
            return True

    def drop(self) -> None:
        """Let the turn end without a trace. Does nothing if it is kept already."""
        with self._changed:
            if self.number is None:
                self.dropped = True
                self._held.clear()
                self._preparation.forget()
                self._changed.notify_all()

    def publish(self, event: TurnEvent, tell: Callable[[TurnEvent], None]) -> None:
        """Tell `event` once the turn is kept; never, if it is dropped."""
        with self._changed:
            if self.number is not None:
                tell(event.model_copy(update={"turn": self.number}))
            elif not self.dropped:
                self._held.append(event)
                if isinstance(event, ReplyPiece):
                    self._preparation.prepare(event.text)

    def prepare(self, text: str) -> None:
        """Do what can be done for a reply that is told later, once the turn is kept."""
        with self._changed:
            if self.open:
                self._preparation.prepare(text)

    @property
    def open(self) -> bool:
        """Whether it is not decided yet."""
        return self.number is None and not self.dropped

    def wait(self, step: Callable[[], None]) -> None:
        """Wait until it is decided, and call `step` now and then; an exception of it ends the
        wait."""
        while self.open:
            step()
            with self._changed:
                self._changed.wait_for(lambda: not self.open, _LOOK_SECONDS)
        step()
