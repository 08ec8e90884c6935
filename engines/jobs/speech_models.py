"""What speech models take and mishear on this device, as a measurement tells it: the contract
between what measures and what recommends."""

from pathlib import Path

from ..schema import Frozen


class SpeechModel(Frozen):
    """A speech model that is measured: as it came, or as a generation changed it."""

    name: str
    """The name in the manifest."""
    whisper: Path
    """The CTranslate2 folder."""
    generation: Path | None = None
    """The folder of the generation whose recogniser hears; None for the model as it came."""


class Misheard(Frozen):
    """The errors on one set of recordings."""

    utterances: int
    words: int
    wrong: int
    """The words that are wrong, missing or added."""

    @property
    def word_error_rate(self) -> float:
        return self.wrong / self.words if self.words else 0.0


class SpeechModelFigures(Frozen):
    """What one speech model takes and mishears, on the cascade."""

    model: SpeechModel
    seconds: float
    """The median wall time to hear an utterance."""
    size_bytes: int
    """The memory of a process that hears by it and has the language model open."""
    general: Misheard | None
    """On recordings of a clear voice; None where none were given."""
    own: Misheard | None
    """On the user's own recordings, which no round has learnt; None where none were given."""


class SpeechModelsMeasured(Frozen):
    """The figures of all speech models that were measured together."""

    machine: str
    models: list[SpeechModelFigures]
