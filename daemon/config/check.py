"""What `attune config check` finds beyond the settings themselves: whether this machine has what
they name. Opens no model."""

from pathlib import Path

from engines.audio.recordings import MAX_STREAM_SECONDS, check_audio
from engines.errors import AttuneError
from engines.models.manifest import find_model

from .settings import Settings


def check_here(settings: Settings) -> None:
    """Raises AttuneError, as `attune serve` or the first round would, for what is not there."""
    find_model(settings.engines.whisper)
    find_model(settings.engines.language_model)
    if settings.audio.source not in ("", "none"):
        check_audio(Path(settings.audio.source), MAX_STREAM_SECONDS)
    if settings.adapt.hand_over and not Path(settings.adapt.hand_over).is_dir():
        raise AttuneError(
            f"adapt.hand_over = {settings.adapt.hand_over} is no folder; make it, or leave the"
            " key out"
        )
