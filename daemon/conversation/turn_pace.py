"""Keeps the silence that ends a turn in step with what is known of the user's pauses."""

import logging
from collections.abc import Callable
from typing import Literal

from engines.audio.recordings import read_audio
from engines.audio.vad import SileroVad
from engines.errors import AttuneError

from ..attention import Attention
from ..idle_task import IdleTask
from ..listening.pauses import longest_pause_seconds
from ..store.records import FIRST_USER
from ..store.store import Store
from .end_of_turn import LOOKED_AT, early_seconds, end_silence_seconds

logger = logging.getLogger(__name__)

_MEASURED_AT_ONCE = 20
_EVERY_SECONDS = 10.0
_MOST_SECONDS = 30.0


class TurnPace:
    """Sets the silence, now and then while it is quiet."""

    def __init__(
        self,
        store: Store,
        attention: Attention,
        setting: float | Literal["auto"],
        speculates: bool,
        apply: Callable[[float, float], None],
        user: Callable[[], int] = lambda: FIRST_USER,
    ) -> None:
        """`setting` is a silence in seconds, or `auto`. `apply` is called with the silence that
        ends a turn and the one after which an answer is begun, infinite without `speculates`.
        `user` returns whose pauses count."""
        self._store = store
        self._setting = setting
        self._speculates = speculates
        self._apply = apply
        self._user = user
        self._vad: SileroVad | None = None
        self._sentences = 0
        self.end_seconds = 0.0
        """The silence that ends a turn now."""
        self._heard_since = True
        """Whether anybody spoke or enrolled since the sentences were looked at."""
        self._attention = attention
        self._task = IdleTask("turn pace", self._study, attention, every_seconds=_EVERY_SECONDS)

    def start(self) -> None:
        """Set the silence by what is known, and begin to learn."""
        self.set()
        if self._setting == "auto":
            self._attention.changes.subscribe(self._attention_changed)
            self._task.start()

    def stop(self) -> None:
        """Stop learning."""
        if self._setting == "auto":
            self._task.stop()

    @property
    def why(self) -> str:
        """The silence, and where it comes from, for the user."""
        seconds = f"{self.end_seconds:.2f} s of silence end a turn"
        if self._setting != "auto":
            return f"{seconds}, as segmenter.end_silence_seconds says"
        if not self._sentences:
            return f"{seconds}, until your pauses are known"
        return f"{seconds}, learnt from the pauses in {self._sentences} of your sentences"

    def _attention_changed(self, needed: bool) -> None:
        self._heard_since = True

    def _study(self) -> None:
        """Measure the pauses of sentences that are new, and set the silence by all."""
        if not self._heard_since:
            return
        self._heard_since = False
        found = self._store.without_pause(_MEASURED_AT_ONCE, LOOKED_AT)
        for utterance in found:
            if self._task.stopping.is_set():
                return
            self._vad = self._vad or SileroVad()
            try:
                pause = longest_pause_seconds(read_audio(utterance.audio, _MOST_SECONDS), self._vad)
            except AttuneError as error:
                logger.debug("the pauses of %s cannot be measured: %s", utterance.id, error)
                pause = 0.0
            self._store.set_longest_pause(utterance.id, pause)
        self._vad = None
        self._heard_since = self._heard_since or len(found) == _MEASURED_AT_ONCE
        self.set()

    def set(self) -> None:
        """Set the silence by what is known by now."""
        pauses = self._store.longest_pauses(LOOKED_AT, self._user())
        self._sentences = len(pauses)
        self.end_seconds = end_silence_seconds(pauses) if self._setting == "auto" else self._setting
        early = early_seconds(self.end_seconds) if self._speculates else float("inf")
        self._apply(self.end_seconds, early)
