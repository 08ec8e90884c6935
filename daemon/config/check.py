"""Checks for `attune config check` whether this machine has what the settings name. Opens no
model."""

from pathlib import Path

from engines.audio.recordings import MAX_STREAM_SECONDS, check_audio
from engines.errors import AttuneError
from engines.models.manifest import find_model

from .settings import Settings


def check_here(settings: Settings) -> None:
    """Raise AttuneError, as `attune serve` or the first round would, if something that the settings
    name does not exist."""
    find_model(settings.engines.whisper)
    find_model(settings.engines.language_model)
    find_model(settings.engines.aligned_language_model)
    if settings.audio.source not in ("", "none"):
        check_audio(Path(settings.audio.source), MAX_STREAM_SECONDS)
    if settings.adapt.hand_over and not Path(settings.adapt.hand_over).is_dir():
        raise AttuneError(
            f"adapt.hand_over = {settings.adapt.hand_over} is not a folder; make it, or leave the"
            " key out"
        )
