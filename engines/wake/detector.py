"""Hears a wake word in a stream: one of the user's own, or a ready-made one."""

from typing import Any, Protocol

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


class Hears(Protocol):
    """What hears a wake word, one embedding after another."""

    def __call__(self, embedding: Float32) -> float | None:
        """Take the next embedding; return the seconds since the end of the wake word, None where it
        was not said."""
        ...

    def forget(self) -> None:
        """Begin anew: what comes next follows nothing."""
        ...


class WakeDetector:
    """Listens for one wake word in one stream."""

    def __init__(self, embeddings: SpeechEmbeddings, hears: Hears) -> None:
        self._embeddings = embeddings
        self._hears = hears

    def push(self, samples: Float32) -> float | None:
        """Take the stream's next [n] samples at SAMPLE_RATE_HZ. Returns for how many seconds, at
        their end, the wake word is over; None where it was not said. It is then begun anew."""
        embeddings = self._embeddings.push(samples)
        for place, embedding in enumerate(embeddings, 1):
            since = self._hears(embedding)
            if since is not None:
                left = (len(embeddings) - place) * STEP_SECONDS + self._embeddings.waiting_seconds
                self.forget()
                return since + left
        return None

    def forget(self) -> None:
        """Begin anew: what comes next follows silence."""
        self._embeddings.forget()
        self._hears.forget()


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
        self.forget()
        return since

    def forget(self) -> None:
        self._nearest = None
        self._warping.forget()


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
    return _ReadyMade(model, threshold or READY_MADE_THRESHOLD)


class _ReadyMade:
    """Hears a wake word by a model of pyopen-wakeword's."""

    def __init__(self, model: Any, threshold: float) -> None:
        self._model = model
        self._threshold = threshold

    def __call__(self, embedding: Float32) -> float | None:
        found = list(self._model.process_streaming(embedding.reshape(1, 1, 1, -1)))
        heard = max(found, default=0.0) >= self._threshold
        return _READY_MADE_TAIL_SECONDS if heard else None

    def forget(self) -> None:
        self._model.reset()
