"""Hands what is said to whoever records it, instead of to the conversation."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engines.audio.segmenter import SegmentEvent, SpeechCancelled, SpeechStarted
from engines.errors import AttuneError
from engines.types import Float32, Segment

Takes = queue.SimpleQueue[Float32 | None]
"""What was said, segment by segment: [n] samples at SAMPLE_RATE_HZ each. None ends it."""


class TakeRecorder:
    """Takes the events of one microphone, in the listener's thread, and hands them on."""

    def __init__(self, noticed: Callable[[SegmentEvent], None]) -> None:
        """`noticed` is given the events that nobody records."""
        self._noticed = noticed
        self._wanted: Takes | None = None
        self._into: Takes | None = None
        """Who gets the segment that is being spoken; None for the conversation."""

    def noticed(self, event: SegmentEvent) -> None:
        """Take the next event of the segmenter. A segment belongs to one of both as a whole."""
        if isinstance(event, SpeechStarted):
            self._into = self._wanted
        into = self._into
        if into is None:
            self._noticed(event)
            return
        if isinstance(event, Segment):
            into.put(event.samples)
        if isinstance(event, Segment | SpeechCancelled):
            self._into = None

    @contextmanager
    def recording(self) -> Iterator[Takes]:
        """Record what is said from now on, until the context is left. Raises AttuneError if
        somebody else records."""
        if self._wanted is not None:
            raise AttuneError("something else is being recorded; wait until it is done")
        takes: Takes = queue.SimpleQueue()
        self._wanted = takes
        try:
            yield takes
        finally:
            self._wanted = None
