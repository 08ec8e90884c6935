"""Cuts a stream into segments by the probability of speech in each chunk. Knows no model, no clock
and no thread.

A SpeechStarted is always followed by one Segment or one SpeechCancelled before the next
SpeechStarted. In between, a SpeechPaused is followed by a SpeechResumed, or by the end; a
SpeechGoesOn may come anywhere else.
"""

from collections import deque
from dataclasses import dataclass
from math import inf

import numpy as np

from ..types import SAMPLE_RATE_HZ, Float32, Segment


@dataclass(frozen=True)
class SegmenterLimits:
    """The limits by which speech starts, ends and counts."""

    start_seconds: float = 0.1
    """The speech that makes a start, so that a click starts nothing."""
    end_silence_seconds: float = 0.6
    """The silence that ends a segment."""
    max_seconds: float = 29.0
    """The longest segment; longer speech is cut here and goes on in the next segment. The encoder
    takes 29.5 s."""
    pre_roll_seconds: float = 0.2
    """The sound kept from before the first speech: a soft first consonant is below the threshold.
    With 0.3 the word error was higher."""
    post_roll_seconds: float = 0.1
    """The silence kept at the end of a segment; more would only cost the encoder time."""
    min_speech_seconds: float = 0.2
    """The least speech of a segment; one with less is cancelled."""
    start_threshold: float = 0.5
    """The probability from which a chunk is speech."""
    stop_threshold: float = 0.35
    """The probability below which a chunk is silence; between the two thresholds a chunk is what
    the one before it was."""

    def __post_init__(self) -> None:
        """Raises ValueError, naming the fields, where the limits contradict each other."""
        if not 0.0 < self.stop_threshold <= self.start_threshold <= 1.0:
            raise ValueError(
                "stop_threshold must be above 0 and at most start_threshold, start_threshold at"
                " most 1"
            )
        if min(self.start_seconds, self.end_silence_seconds) <= 0.0:
            raise ValueError("start_seconds and end_silence_seconds must be above 0")
        if min(self.pre_roll_seconds, self.post_roll_seconds, self.min_speech_seconds) < 0.0:
            raise ValueError(
                "pre_roll_seconds, post_roll_seconds and min_speech_seconds must not be below 0"
            )
        shortest_seconds = (
            self.pre_roll_seconds
            + self.start_seconds
            + self.min_speech_seconds
            + self.end_silence_seconds
        )
        if self.max_seconds < 2 * shortest_seconds:
            raise ValueError(
                f"max_seconds must be at least {2 * shortest_seconds:.1f}, twice the sum of the"
                " other durations"
            )


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody began to speak."""

    start_seconds: float
    """The position in the stream at which the coming segment begins."""


@dataclass(frozen=True)
class SpeechCancelled:
    """The speech that had started was too short to count."""

    start_seconds: float
    """The `start_seconds` of the SpeechStarted that this cancels."""


@dataclass(frozen=True)
class SpeechPaused:
    """The speech may have ended: if nothing more is said, `segment` is the segment that follows."""

    segment: Segment


@dataclass(frozen=True)
class SpeechGoesOn:
    """The speech goes on; `segment` is what was said so far."""

    segment: Segment


@dataclass(frozen=True)
class SpeechResumed:
    """The speech goes on after a SpeechPaused."""


SegmentEvent = (
    SpeechStarted | SpeechGoesOn | SpeechPaused | SpeechResumed | SpeechCancelled | Segment
)


class Segmenter:
    """The segmenter of one stream. It holds at most `max_seconds` of sound, and in silence only the
    pre-roll."""

    def __init__(self, limits: SegmenterLimits | None = None) -> None:
        self.limits = limits or SegmenterLimits()
        self.end_silence_seconds = self.limits.end_silence_seconds
        """The silence that ends a segment from now on. May be set from another thread."""
        self.pause_seconds = inf
        """The silence after which a SpeechPaused is given, if it is shorter than that. May be set
        from another thread."""
        self.progress_seconds = inf
        """The sound after which a SpeechGoesOn is given, again and again, while there is speech.
        May be set from another thread."""
        self._position_samples = 0  # of the end of the last chunk in the stream
        self._held: deque[Float32] = deque()  # the chunks up to there that belong to no segment yet
        self._held_samples = 0
        self._last_is_speech = self._paused = False
        self._ends_now = False
        self._leave_speech()

    def push(self, chunk: Float32, probability: float) -> SegmentEvent | None:
        """Take the stream's next [n] samples and the probability that they are speech; returns the
        event that follows, or None.

        Limits are checked where chunks end, so they hold to within one chunk; `max_seconds` and the
        pre-roll are never exceeded.
        """
        threshold = (
            self.limits.stop_threshold if self._last_is_speech else self.limits.start_threshold
        )
        self._last_is_speech = probability >= threshold
        self._position_samples += len(chunk)
        if not self.in_speech:
            self._ends_now = False
            return self._push_in_silence(chunk)
        if self._held_samples + len(chunk) > _samples(self.limits.max_seconds):
            return self._cut_before(chunk)
        self._hold(chunk)
        if not self._announced:
            return self._announce()
        if self._ends_now or self._silent_run_samples >= _samples(self.end_silence_seconds):
            return self._end(self._position_samples)
        return self._pause_or_resume()

    def end_now(self) -> None:
        """End the segment that is being spoken with the next chunk. May be called from any
        thread."""
        self._ends_now = True

    def _pause_or_resume(self) -> SpeechPaused | SpeechResumed | SpeechGoesOn | None:
        if self._paused and self._last_is_speech:
            self._paused = False
            return SpeechResumed()
        if self._paused or self._silent_run_samples < self.pause_seconds * SAMPLE_RATE_HZ:
            return self._goes_on()
        if self._speech_samples < _samples(self.limits.min_speech_seconds):
            return None
        self._paused = True
        self._told_samples = self._held_samples
        return SpeechPaused(self._segment(self._position_samples))

    def _goes_on(self) -> SpeechGoesOn | None:
        """What was said so far, if enough of it is new."""
        new_samples = self._held_samples - self._told_samples
        if self._paused or new_samples < self.progress_seconds * SAMPLE_RATE_HZ:
            return None
        self._told_samples = self._held_samples
        return SpeechGoesOn(self._segment(self._position_samples))

    @property
    def samples_to_event(self) -> int:
        """The fewest samples that can lead to an event: in silence, what a start still needs if all
        of it is speech."""
        return (
            1
            if self.in_speech
            else max(1, _samples(self.limits.start_seconds) - self._speech_samples)
        )

    def flush(self) -> Segment | SpeechCancelled | None:
        """End the stream; returns the rest of a started segment, its cancellation, or None. The
        positions of the next stream go on from here."""
        event = self._end(self._position_samples) if self._announced else None
        self._leave_speech()
        self._last_is_speech = False
        self._drop_held(keep_samples=0)
        return event

    def _push_in_silence(self, chunk: Float32) -> SpeechStarted | None:
        self._hold(chunk)
        if not self._last_is_speech:
            self._speech_samples = 0
            self._drop_held(keep_samples=_samples(self.limits.pre_roll_seconds))
        elif self._speech_samples >= _samples(self.limits.start_seconds):
            self.in_speech = True
            return self._announce()
        return None

    def _announce(self) -> SpeechStarted:
        self._announced = True
        return SpeechStarted(self._start_seconds(self._position_samples))

    def _cut_before(self, chunk: Float32) -> Segment | SpeechCancelled:
        """End a segment that is full; the speech goes on in the next segment, which `push`
        announces with its second chunk."""
        event = self._end(self._position_samples - len(chunk))
        self._drop_held(keep_samples=0)
        self.in_speech = True
        self._hold(chunk)
        return event

    def _end(self, position_samples: int) -> Segment | SpeechCancelled:
        enough = self._speech_samples >= _samples(self.limits.min_speech_seconds)
        segment, surplus_samples = self._segment(position_samples), self._surplus_samples
        self._leave_speech()
        if not enough:
            self._drop_held(keep_samples=_samples(self.limits.pre_roll_seconds))
            return SpeechCancelled(segment.start_seconds)
        self._drop_held(keep_samples=min(surplus_samples, _samples(self.limits.pre_roll_seconds)))
        return segment

    def _segment(self, position_samples: int) -> Segment:
        """The segment that ends here, without most of its closing silence."""
        samples = np.concatenate(self._held)
        return Segment(
            samples[: len(samples) - self._surplus_samples],
            self._start_seconds(position_samples),
            self._longest_pause_samples / SAMPLE_RATE_HZ,
            self._silent_run_samples / SAMPLE_RATE_HZ,
        )

    @property
    def _surplus_samples(self) -> int:
        """The closing silence that does not belong to the segment."""
        return max(0, self._silent_run_samples - _samples(self.limits.post_roll_seconds))

    def _leave_speech(self) -> None:
        self.in_speech = False  # from a start that is about to be announced to its end
        self._announced = (
            False  # whether the SpeechStarted of the speech we are in has been given out
        )
        self._speech_samples = (
            0  # in speech: all of the segment's; in silence: the unbroken run at the end
        )
        self._silent_run_samples = 0
        self._longest_pause_samples = 0  # within the segment
        self._told_samples = 0  # of the segment, that a SpeechGoesOn or a SpeechPaused had
        self._paused = False  # whether a SpeechPaused waits for its SpeechResumed
        self._ends_now = False

    def _hold(self, chunk: Float32) -> None:
        self._held.append(chunk.copy())  # the caller may reuse its buffer
        self._held_samples += len(chunk)
        if self._last_is_speech:
            self._speech_samples += len(chunk)
            self._longest_pause_samples = max(self._longest_pause_samples, self._silent_run_samples)
            self._silent_run_samples = 0
        else:
            self._silent_run_samples += len(chunk)

    def _drop_held(self, keep_samples: int) -> None:
        while self._held_samples > keep_samples:
            self._held_samples -= len(self._held.popleft())

    def _start_seconds(self, end_samples: int) -> float:
        return (end_samples - self._held_samples) / SAMPLE_RATE_HZ


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)
