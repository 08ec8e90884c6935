"""Hears a wake word in a stream: one of the user's own, or a ready-made one."""

from collections.abc import Callable
from typing import Any

from ..errors import AttuneError
from ..types import Float32
from .embeddings import REMEDY, STEP_SECONDS, SpeechEmbeddings
from .own_phrase import TAIL_SECONDS, OwnPhrase, Warping
from .words import READY_MADE

READY_MADE_THRESHOLD = 0.5
_READY_MADE_TAIL_SECONDS = STEP_SECONDS
_SETTLE_STEPS = 3
"""Steps after a phrase came near enough in which it may still come nearer: its end is where it is
nearest."""
Hears = Callable[[Float32], float | None]
"""Is given one embedding after another, and returns the seconds since the end of a wake word; None
where it was not said."""


class WakeDetector:
    """Listens for one wake word in one stream."""

    def __init__(self, embeddings: SpeechEmbeddings, heard: Hears) -> None:
        self._embeddings = embeddings
        self._heard = heard

    def push(self, samples: Float32) -> float | None:
        """Take the stream's next [n] samples at SAMPLE_RATE_HZ. Returns for how many seconds, at
        their end, the wake word is over; None where it was not said."""
        found = None
        embeddings = self._embeddings.push(samples)
        for place, embedding in enumerate(embeddings, 1):
            since = self._heard(embedding)
            if since is not None:
                found = since + (len(embeddings) - place) * STEP_SECONDS
        return None if found is None else found + self._embeddings.waiting_seconds


def own_detector(phrase: OwnPhrase, threshold: float | None = None) -> WakeDetector:
    """Listen for a phrase of the user's own, by `threshold` or by its own. Raises AttuneError where
    the package is missing."""
    return WakeDetector(SpeechEmbeddings(), hears_own(phrase, threshold))


def ready_made_detector(name: str, threshold: float | None = None) -> WakeDetector:
    """Listen for the ready-made wake word `name`, of READY_MADE. Raises AttuneError where the
    package or its model is missing."""
    return WakeDetector(SpeechEmbeddings(), hears_ready_made(name, threshold))


def hears_own(phrase: OwnPhrase, threshold: float | None = None) -> Hears:
    """What hears a phrase of the user's own, by `threshold` or by its own."""
    return _NearestStep(Warping(phrase.templates), threshold or phrase.threshold)


class _NearestStep:
    """Finds where a phrase comes nearest, once it is near enough."""

    def __init__(self, warping: Warping, threshold: float) -> None:
        self._warping = warping
        self._threshold = threshold
        self._nearest: float | None = None
        self._steps_since = 0

    def __call__(self, embedding: Float32) -> float | None:
        distance = float(self._warping.push(embedding[None]).min())
        if self._nearest is None:
            if distance <= self._threshold:
                self._nearest, self._steps_since = distance, 0
            return None
        self._steps_since += 1
        if distance < self._nearest:
            self._nearest, self._steps_since = distance, 0
        if distance <= self._threshold and self._steps_since < _SETTLE_STEPS:
            return None
        since = TAIL_SECONDS + self._steps_since * STEP_SECONDS
        self._nearest = None
        self._warping.forget()
        return since


def hears_ready_made(name: str, threshold: float | None = None) -> Hears:
    """What hears the ready-made wake word `name`. Raises AttuneError as `ready_made_detector`
    does."""
    if name not in READY_MADE:
        raise AttuneError(f"no wake word is called {name!r}; `attune wake list` shows them")
    try:
        from pyopen_wakeword import Model, OpenWakeWord

        model: Any = OpenWakeWord.from_builtin(Model(name))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise AttuneError(f"the wake word {name} cannot be opened ({error}); {REMEDY}") from error
    least = threshold or READY_MADE_THRESHOLD

    def heard(embedding: Float32) -> float | None:
        probabilities = list(model.process_streaming(embedding.reshape(1, 1, 1, -1)))
        return _READY_MADE_TAIL_SECONDS if max(probabilities, default=0.0) >= least else None

    return heard
