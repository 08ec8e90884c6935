"""The base recogniser, which every person starts with."""

from pathlib import Path

from engines.files import sha256_of
from engines.generations.folder import Generation
from engines.jobs.messages import EngineFiles
from engines.whisper.recogniser_weights import RecogniserWeights, read_recogniser

SHIPPED = Path(__file__).parent.parent.parent / "engines" / "base" / "recogniser.safetensors"
"""The base recogniser, which met many computer-made atypical voices and no user's."""


def start_of(parent: Generation, model_bin: Path) -> RecogniserWeights | None:
    """The parent's recogniser, or the base recogniser where that has none (it was made by a version
    that knew none); None where the base recogniser was made for another Whisper than `model_bin`.

    Raises AttuneError where it cannot be read.
    """
    if parent.recogniser is not None:
        return read_recogniser(parent.recogniser)
    return read_recogniser(SHIPPED) if is_base_of(model_bin) else None


def is_base_of(model_bin: Path) -> bool:
    """Whether the base recogniser was made for the Whisper of `model_bin`. Raises AttuneError where
    it cannot be read."""
    return read_recogniser(SHIPPED).whisper_sha256 == sha256_of(model_bin)


def base_of(engines: EngineFiles) -> Path | None:
    """The file of the base recogniser; None where it was made for another Whisper."""
    return SHIPPED if is_base_of(engines.encoder_weights_file) else None
