"""Gives utterances that nobody labelled the text that was recognised in them, one at a time, only while nobody is talking."""

import logging
import threading
from collections.abc import Callable

from engines.audio import read_audio
from engines.errors import AttuneError
from engines.types import Float32, Transcript

from .attention import Attention
from .store import Store

logger = logging.getLogger(__name__)

AFTER_QUIET_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 5.0


class Labeller:
    """A thread that labels when it is quiet; `label` does it at once, from any thread."""

    def __init__(self, store: Store, attention: Attention, transcribe: Callable[[Float32], Transcript]) -> None:
        self._store, self._attention, self._transcribe = store, attention, transcribe
        self._wordless: set[str] = set()
        """Utterances in which nothing was recognised: not asked about again until the next start."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labeller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the utterance that is being recognised."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def label(self) -> int:
        """Label what lacks a label until somebody speaks; returns how many were labelled."""
        labelled = 0
        with self._lock:
            for utterance in self._store.missing_labels():
                if self._attention.needed or self._stopping.is_set():
                    break
                if utterance.id in self._wordless:
                    continue
                try:
                    transcript = self._transcribe(read_audio(utterance.audio))
                    if not transcript.text.strip():
                        self._wordless.add(utterance.id)
                        continue
                    self._store.add_label(utterance.id, transcript.text, "recognised", transcript.confidence)
                    labelled += 1
                except AttuneError as error:
                    self._wordless.add(utterance.id)
                    logger.warning("utterance %s stays without a label: %s", utterance.id, error)
        return labelled

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_SECONDS):
            if self._attention.quiet_seconds() < AFTER_QUIET_SECONDS:
                continue
            try:
                if labelled := self.label():
                    logger.info("labelled %d utterances", labelled)
            except Exception:  # labels can wait; the daemon must not lose its labeller to one bad utterance
                logger.exception("labelling failed and is tried again later")
