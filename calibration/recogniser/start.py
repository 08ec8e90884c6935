"""What a round's recogniser starts from."""

from pathlib import Path

from engines.files import sha256_of
from engines.generations.folder import Generation
from engines.whisper.recogniser_weights import RecogniserWeights, read_recogniser

SHIPPED = Path(__file__).parent.parent.parent / "engines" / "base" / "recogniser.safetensors"
"""The base recogniser, which met many computer-made atypical voices and no user's."""


def start_of(parent: Generation, model_bin: Path) -> RecogniserWeights | None:
    """The parent's recogniser, or the base recogniser where that has none; None where the base
    recogniser was made for another Whisper than `model_bin`.

    Raises AttuneError where it cannot be read.
    """
    if parent.recogniser is not None:
        return read_recogniser(parent.recogniser)
    base = read_recogniser(SHIPPED)
    return base if base.whisper_sha256 == sha256_of(model_bin) else None
