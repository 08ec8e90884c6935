"""Labels utterances without a label with the text that the transcriber recognises in them, one at a
time, only while nobody is talking, and only where its sure transcripts have proven right."""

import logging
import threading
from collections.abc import Callable

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.types import Float32, Transcript

from ..attention import Attention
from ..clocks import REAL_TIME, Clocks
from ..idle_task import IdleTask
from .database import DatabaseBusyError
from .label_check import label_fault
from .records import FIRST_USER, Counts, Utterance
from .store import Store

logger = logging.getLogger(__name__)


class Labeller:
    """A thread that labels while nobody needs the machine; `label` does it at once, from any
    thread."""

    def __init__(
        self,
        store: Store,
        attention: Attention,
        transcribe: Callable[[Float32], Transcript],
        ready: Callable[[], bool] = lambda: True,
        user: Callable[[], int] = lambda: FIRST_USER,
        clocks: Clocks = REAL_TIME,
    ) -> None:
        """Label what is known to be said by `user`, with `transcribe`, but not while `ready`
        returns False: the models are closed, or nothing shows that what they are sure of is
        right."""
        self._store = store
        self._attention = attention
        self._transcribe = transcribe
        self._ready = ready
        self._user = user
        self._wordless: set[str] = set()
        """Utterances in which no words were recognised. They are not tried again until the next
        start."""
        self._done_at: Counts | None = None
        """The totals of the store when nothing was left to label."""
        self._lock = threading.Lock()
        self._task = IdleTask("labelling", self._label_and_tell, attention, clock=clocks.monotonic)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """End the thread after the utterance that it is labelling."""
        self._task.stop()

    def label(self, most: int | None = None) -> int:
        """Label utterances without a label, the newest first, until a user speaks or `most` were
        tried. Returns how many got a label."""
        user = self._user()
        counts = self._store.counts(user=user)
        if counts.to_label == 0 or counts == self._done_at:
            # This is called every few seconds and nearly always ends here, so that it makes no list
            # of all utterances.
            return 0
        labelled = 0
        missing = [
            utterance
            for utterance in reversed(self._store.missing_labels(user))
            if utterance.id not in self._wordless
        ]
        for utterance in missing[:most]:
            if self._attention.needed or self._task.stopping.is_set() or not self._ready():
                break
            if self._user() != user:
                break  # another user's recogniser serves
            try:
                labelled += self._label_one(utterance)
            except DatabaseBusyError as error:
                logger.warning("utterances are labelled later: %s", error)
                break
        if not missing:
            self._done_at = counts
        return labelled

    def _label_one(self, utterance: Utterance) -> bool:
        """Label one utterance. Returns False if no words were recognised in it, or if another
        thread has labelled it meanwhile."""
        with self._lock:  # for one utterance only: a caller with a few need not wait for all
            if self._store.is_labelled(utterance.id):
                return False
            try:
                transcript = self._transcribe(read_audio(utterance.audio))
                if label_fault(transcript.text, utterance.seconds) is not None:
                    self._wordless.add(utterance.id)
                    return False
                if transcript.confidence is None:
                    return False  # another recogniser serves meanwhile, of which nothing is known
                self._store.add_label(
                    utterance.id, transcript.text, "recognised", transcript.confidence
                )
            except DatabaseBusyError:
                raise
            except AttuneError as error:
                self._wordless.add(utterance.id)
                logger.warning("utterance %s stays without a label: %s", utterance.id, error)
                return False
            return True

    def _label_and_tell(self) -> None:
        if labelled := self.label():
            logger.info("labelled %d utterances", labelled)
