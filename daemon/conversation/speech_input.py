"""Hands segments of speech from a listener to the conversation, and plays a recording as if it came
from a microphone."""

import logging
import queue
import threading
from collections.abc import Callable, Generator, Sequence

from engines.audio.segmenter import (
    Segmenter,
    SegmenterLimits,
    SegmentEvent,
    SpeechCancelled,
    SpeechStarted,
)
from engines.audio.vad import SileroVad
from engines.open_file import OpenFile
from engines.types import Segment

from ..attention import Attention
from ..clients import Client
from ..events.bus import Events
from ..events.event import Event
from ..events.turns import (
    Alive,
    ClientLeft,
    RecordingPlayed,
    SegmentHeard,
    SpeechBegan,
    StreamEnded,
    TurnAnswered,
    TurnFailed,
)
from ..listening.listener import Listener
from ..listening.source import WavSource
from .conversation import Conversation

logger = logging.getLogger(__name__)

_ALIVE_SECONDS = 10.0


def hand_on(
    attention: Attention,
    events: Events,
    interrupt: Callable[[], None],
    answer: Callable[[Segment], object],
) -> Callable[[SegmentEvent], None]:
    """Return the function that a listener calls with each event. When speech begins, attention
    does, and `interrupt` is called; `answer` is called with each segment."""

    def noticed(event: SegmentEvent) -> None:
        if isinstance(event, SpeechStarted):
            attention.begin()
            interrupt()
            events.publish(SpeechBegan())
            return
        if not isinstance(event, Segment | SpeechCancelled):
            return
        try:
            if isinstance(event, Segment):
                answer(event)
        finally:  # a segment in the queue holds attention by itself
            attention.end()

    return noticed


def hear_recording(
    recording: OpenFile,
    speed: float,
    route: str | None,
    expected: Sequence[str],
    conversation: Conversation,
    attention: Attention,
    events: Events,
    interrupt: Callable[[], None],
    limits: SegmenterLimits,
    client: Client,
) -> Generator[Event, None, None]:
    """Play `recording` through capture, voice activity detection and segmenter, and yield the
    events of every turn in it. The phrases in `expected` are likelier than other words.

    Each `turn` and `turn_failed` is preceded by its `segment` event, with the seconds at which it
    began and its length. At `speed` 0 each segment waits for the answer to the one before. The last
    event, `listened`, has the number of segments. If the generator is closed or `client` leaves,
    playing stops and the waiting turns are dropped. `recording`, which stays the caller's, is not
    read after that. Raises AttuneError if `recording` is not a recording.
    """
    conversation.check_route(route)
    source = WavSource(recording, speed)
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    answered, left = threading.Semaphore(0), threading.Event()

    def answer(segment: Segment) -> None:
        heard.put(SegmentHeard(start_seconds=segment.start_seconds, seconds=segment.seconds))
        conversation.hear(
            segment,
            source="file",
            wait=True,
            route=route,
            events=heard,
            abandoned=left,
            expected=expected,
        )
        # As with a real user, the next segment comes after the answer, so that its milliseconds do
        # not include the turn before.
        if not speed and not left.is_set():
            answered.acquire()

    listener = Listener(
        source,
        SileroVad(),
        Segmenter(limits),
        hand_on(attention, events, interrupt, answer),
        on_end=lambda: heard.put(StreamEnded()),
    )
    listener.start()
    try:
        with client.telling(lambda: heard.put(ClientLeft())):
            segments = yield from _until_answered(heard, answered)
        status = listener.status()
        yield RecordingPlayed(
            heard_seconds=status.heard_seconds, segments=segments, problem=status.problem
        )
    finally:
        conversation.abandon(left)
        answered.release()
        listener.stop()
        listener.join()


def _until_answered(
    heard: "queue.SimpleQueue[Event]", answered: threading.Semaphore
) -> Generator[Event, None, int]:
    """Yield the events of a recording until it has ended and all its segments are answered, or the
    client has left. Returns the number of segments."""
    unanswered, segments, ended = 0, 0, False
    while unanswered or not ended:
        try:
            event = heard.get(timeout=_ALIVE_SECONDS)
        except queue.Empty:
            yield Alive()
            continue
        match event:
            case ClientLeft():
                return segments
            case StreamEnded():
                ended = True
            case SegmentHeard():
                segments += 1
                unanswered += 1
            case TurnAnswered() | TurnFailed():
                unanswered -= 1
                answered.release()
            case _:
                pass
        yield event
    return segments
