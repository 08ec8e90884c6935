"""The thread that turns a source's chunks into segments. Knows neither who hears the segments nor
what is answered."""

import logging
import math
import threading
import time
from collections.abc import Callable

import numpy as np

from engines.audio.segmenter import Segmenter, SegmentEvent
from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.types import SAMPLE_RATE_HZ, Float32

from .source import AudioSource
from .status import ListenerState, ListenerStatus

logger = logging.getLogger(__name__)

MAX_FAILURES_IN_A_ROW = 5
_FIRST_PAUSE_SECONDS = 0.05


class Listener:
    """Feeds one source through voice activity detection into a segmenter, and hands on each
    event."""

    def __init__(
        self,
        source: AudioSource,
        vad: SileroVad,
        segmenter: Segmenter,
        on_event: Callable[[SegmentEvent], None],
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        alive: Callable[[], None] = lambda: None,
        on_chunk: Callable[[Float32, float], None] = lambda chunk, probability: None,
        in_a_hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_event` is called in the listener's thread. No chunk is read while it runs: a file
        waits, a microphone queues. `on_chunk` is called there with each chunk, and the probability
        that it is speech. As long as `in_a_hurry` tells so, each chunk is handed on as it comes;
        otherwise as many together as the segmenter needs to decide anything.

        `alive` is called each time that chunks were heard. `on_end` is called last, whether the
        stream ended, was stopped, or failed.
        """
        self._source = source
        self._vad = vad
        self._segmenter = segmenter
        self._on_event = on_event
        self._on_end = on_end
        self._on_chunk = on_chunk
        self._in_a_hurry = in_a_hurry
        self._alive = alive
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._stopping = threading.Event()
        self._state: ListenerState = "new"
        self._heard_samples = 0
        self._last_chunk = clock()
        self._failures = 0
        self._failures_in_a_row = 0
        self._problem = ""

    def start(self) -> None:
        """Begin to listen."""
        self._state = "listening"
        self._last_chunk = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """End listening: the source is closed, and a segment that is being spoken is cut there and
        handed on. `join` waits for that."""
        self._stopping.set()
        self._source.close()

    def join(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the thread has ended. Returns whether it has."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def status(self) -> ListenerStatus:
        """Return the state of listening. May be called from any thread."""
        return ListenerStatus(
            state=self._state,
            source=self._source.status(),
            heard_seconds=self._heard_samples / SAMPLE_RATE_HZ,
            seconds_since_chunk=self._clock() - self._last_chunk,
            failures=self._failures,
            problem=self._problem,
        )

    def _run(self) -> None:
        try:
            while not self._listen_until_error():
                if self._failures_in_a_row > MAX_FAILURES_IN_A_ROW:
                    logger.error(
                        "listening failed %d times in a row and ends: %s",
                        self._failures_in_a_row,
                        self._problem,
                    )
                    self._state = "failed"
                    return
                self._stopping.wait(_FIRST_PAUSE_SECONDS * 2**self._failures_in_a_row)
            self._state = "ended"
        finally:
            self._source.close()
            self._hand_on_end()

    def _listen_until_error(self) -> bool:
        """Read chunks until the stream ends (returns True) or something fails (returns False)."""
        held: list[Float32] = []
        try:
            try:
                while (taken := self._source.read(self._chunks_to_event - len(held))) is not None:
                    self._last_chunk = self._clock()
                    self._heard_samples += taken.size
                    held.extend(taken)
                    # With fewer chunks the segmenter decides nothing, so waiting makes none late.
                    if len(held) >= self._chunks_to_event:
                        self._push(held)
            finally:
                self._push(held)
            return True
        except Exception as error:  # noqa: BLE001 - a daemon must not stop hearing without a word
            self._note_failure("the audio source", error)
            self._failures_in_a_row += 1
            return False
        finally:  # sound before an interruption is not joined with sound after it
            self._hand_on(self._segmenter.flush())
            self._vad.reset()

    @property
    def _chunks_to_event(self) -> int:
        if self._in_a_hurry():
            return 1
        return math.ceil(self._segmenter.samples_to_event / CHUNK_SAMPLES)

    def _push(self, held: list[Float32]) -> None:
        chunks, held[:] = list(held), []
        if not chunks:
            return
        for chunk, probability in zip(chunks, self._probabilities(np.stack(chunks)), strict=True):
            self._on_chunk(chunk, probability)
            self._hand_on(self._segmenter.push(chunk, probability))
        self._failures_in_a_row = 0
        self._alive()

    def _probabilities(self, chunks: Float32) -> list[float]:
        if self._segmenter.in_speech or chunks.any():
            return self._vad.probabilities(chunks)
        self._vad.reset()  # a muted microphone needs no model
        return [0.0] * len(chunks)

    def _hand_on(self, event: SegmentEvent | None) -> None:
        if event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - one failed utterance must not end listening
            self._note_failure(f"handling {type(event).__name__}", error)

    def _hand_on_end(self) -> None:
        try:
            self._on_end()
        except Exception as error:  # noqa: BLE001 - no caller is left to raise it to
            self._note_failure("handling the end of the stream", error)

    def _note_failure(self, where: str, error: Exception) -> None:
        self._failures += 1
        self._problem = f"{where}: {error}" if str(error) else f"{where}: {type(error).__name__}"
        logger.error("%s failed: %s", where, error, exc_info=error)
