"""Opens the voice that the settings name."""

from engines.voices.automatic import open_wanted
from engines.voices.catalogue import VoiceNeeds
from engines.voices.voice import Voice
from engines.voices.voice_process import open_in_process

from ..config.settings import Settings

NONE = "none"
"""The voice of who wants replies written only."""


def voice_needs(settings: Settings) -> VoiceNeeds:
    """Return what the settings say about voices."""
    return VoiceNeeds(
        cache_dir=settings.cache_dir,
        language=settings.engines.language,
        speed=settings.speaking.speed,
        command=settings.speaking.command,
    )


def chosen_voice(settings: Settings, name: str | None = None) -> Voice:
    """Open the voice `name`, or the one that the settings name, in this process. Raises AttuneError
    if there is no voice."""
    return open_wanted(name or settings.speaking.voice, voice_needs(settings))


def daemon_voice(settings: Settings, name: str | None = None) -> Voice:
    """As `chosen_voice`, in a process of its own."""
    return open_in_process(name or settings.speaking.voice, voice_needs(settings))
