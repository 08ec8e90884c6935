"""Follows how much later the microphone hears the loudspeaker than the times of their devices say.

A sound server moves its streams by milliseconds from one reply to the next, and now and then within
one. An echo canceller has to learn its echo anew after each such move, which takes it a second. So
its reference has to move with the echo.

The room answers each sound in its own way. That answer is learnt once, and found again in what is
heard later: of an answer that is spread over many reflections, no single peak tells the delay.
"""

from collections.abc import Callable

import numpy as np

from engines.types import SAMPLE_RATE_HZ, Float32

ECHO_AFTER_SECONDS = 0.006
"""How long after its reference the echo comes, once it was found: a canceller finds no echo before
its cause, and takes out less of one that is late."""
EARLIEST_SECONDS, LATEST_SECONDS = 0.1, 0.4
"""How much earlier or later than its reference an echo is looked for."""
_LEARN_SECONDS, _FIND_SECONDS = 0.8, 0.4
"""Sound by which the room's answer is learnt, and by which it is found again."""
_EVERY_SECONDS = 0.1
_ANSWER_SAMPLES, _FIRST_SAMPLES = round(0.03 * SAMPLE_RATE_HZ), round(0.005 * SAMPLE_RATE_HZ)
"""How much of the answer is kept, and how much of it has most of its power."""
_LEARN_CLEARLY, _FIND_CLEARLY = 1.5, 2.0
"""How much higher a peak is than all that is not near it. One voice beside another has a higher one
in 10 of 100 windows by the first measure, in none of 800 by the second."""
_NEAR_SAMPLES = 16
_TOLERANCE_SAMPLES = 8
"""The canceller follows smaller changes by itself."""
_LEAST_LEVEL = 0.003
_FORGET_SECONDS = 5.0
"""Sound in which the answer is not found, after which the room counts as another."""


class EchoDelay:
    """Follows the delay of one stream's echo."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """How much later the echo comes than `ECHO_AFTER_SECONDS` after its reference."""
        self._heard = np.zeros(0, np.float32)
        """What the microphone heard last, since the last gap."""
        self._ends_at = 0.0
        self._unmeasured_seconds = self._unfound_seconds = 0.0
        self._answer: Float32 | None = None

    def push(self, heard: Float32, began: float, between: Callable[[float, int], Float32]) -> bool:
        """Take what the microphone heard, [n] samples from the time `began` on; `between` gives
        what was played, as `Played.between`. Returns whether the delay has changed."""
        if abs(began - self._ends_at) > 1 / SAMPLE_RATE_HZ:
            self._heard = np.zeros(0, np.float32)
        self._heard = np.concatenate([self._heard, heard])[
            -round(_LEARN_SECONDS * SAMPLE_RATE_HZ) :
        ]
        seconds = len(heard) / SAMPLE_RATE_HZ
        self._ends_at = began + seconds
        self._unmeasured_seconds += seconds
        if self._unmeasured_seconds < _EVERY_SECONDS:
            return False
        self._unmeasured_seconds = 0.0
        found = self._measure(between)
        if found is None or abs(found - self.seconds) * SAMPLE_RATE_HZ <= _TOLERANCE_SAMPLES:
            return False
        self.seconds = found
        return True

    def _measure(self, between: Callable[[float, int], Float32]) -> float | None:
        """What `seconds` should be; None if that is not clear."""
        needed = _LEARN_SECONDS if self._answer is None else _FIND_SECONDS
        window = self._heard[-round(needed * SAMPLE_RATE_HZ) :]
        if len(window) < needed * SAMPLE_RATE_HZ:
            return None
        start = self._ends_at - needed - LATEST_SECONDS
        count = len(window) + round((LATEST_SECONDS + EARLIEST_SECONDS) * SAMPLE_RATE_HZ)
        played = between(start, count)
        if min(_level(window), _level(played)) < _LEAST_LEVEL:
            return None
        place = self._place(response(window, played))
        self._unfound_seconds += _EVERY_SECONDS
        if self._unfound_seconds > _FORGET_SECONDS:
            self._answer, self._unfound_seconds = None, 0.0
        if place is None:
            return None
        self._unfound_seconds = 0.0
        return place / SAMPLE_RATE_HZ - EARLIEST_SECONDS - ECHO_AFTER_SECONDS

    def _place(self, response: Float32) -> int | None:
        """Where the room's answer begins in `response`; None if that is not clear."""
        if self._answer is None:
            power = np.convolve(response**2, np.ones(_FIRST_SAMPLES, np.float32))
            power = power[_FIRST_SAMPLES - 1 :]
            place = clear_peak(power, _FIRST_SAMPLES, _LEARN_CLEARLY)
            if place is None:
                return None
            first = np.abs(response[place : place + _FIRST_SAMPLES])
            place += int(np.argmax(first >= first.max() / 2))
            answer = response[place : place + _ANSWER_SAMPLES]
            self._answer = np.pad(answer, (0, _ANSWER_SAMPLES - len(answer)))
            return place
        size = 1 << (len(response) + _ANSWER_SAMPLES).bit_length()
        spectrum = np.fft.rfft(response, size) * np.conj(np.fft.rfft(self._answer, size))
        likeness = np.fft.irfft(spectrum, size)[: len(response)]
        return clear_peak(np.asarray(likeness, np.float32), _NEAR_SAMPLES, _FIND_CLEARLY)


def response(heard: Float32, played: Float32) -> Float32:
    """How `heard` [n] answers `played` [m], which begins LATEST_SECONDS before it and ends
    EARLIEST_SECONDS after it: [m - n + 1], by the delay, from -EARLIEST_SECONDS on.

    Generalized cross-correlation with phase transform: Knapp and Carter, The Generalized
    Correlation Method for Estimation of Time Delay, IEEE TASSP 24(4), 1976.
    """
    size = 1 << (len(played) + len(heard)).bit_length()
    spectrum = np.fft.rfft(played, size) * np.conj(np.fft.rfft(heard, size))
    power = np.abs(spectrum)
    spectrum /= power + 1e-3 * power.mean()
    found = np.fft.irfft(spectrum, size)[: len(played) - len(heard) + 1]
    return np.asarray(found[::-1], np.float32)


def clear_peak(values: Float32, near: int, clearly: float) -> int | None:
    """Where `values` are highest; None if they are not `clearly` times as high as all that is
    further than `near` from there."""
    place = int(np.argmax(values))
    others = np.abs(values)
    others[max(0, place - near) : place + near + 1] = 0.0
    return place if values[place] >= clearly * others.max() else None


def _level(samples: Float32) -> float:
    return float(np.sqrt(np.mean(samples**2)))
