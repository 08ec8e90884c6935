"""Opens the voice that the settings name, or finds out which one `auto` means on this device."""

import logging

from engines.errors import AttuneError
from engines.voices.catalogue import VoiceNeeds, automatic_voices, open_voice
from engines.voices.pace import measure, read_paces
from engines.voices.voice import Voice

from ..config.settings import Settings

logger = logging.getLogger(__name__)

AUTO, NONE = "auto", "none"


def voice_needs(settings: Settings) -> VoiceNeeds:
    """Return what the settings say about voices."""
    return VoiceNeeds(
        cache_dir=settings.cache_dir,
        language=settings.engines.language,
        speed=settings.speaking.speed,
        command=settings.speaking.command,
    )


def chosen_voice(settings: Settings, name: str | None = None) -> Voice:
    """Open the voice `name`, or the one that the settings name.

    `auto` is the first that keeps up with real time, of those that are ready. Which voices do is
    measured at the first use of each, and remembered. Raises AttuneError if there is no voice.
    """
    needs, name = voice_needs(settings), name or settings.speaking.voice
    if name != AUTO:
        return open_voice(name, needs)
    problems = []
    for candidate in automatic_voices(needs):
        known = read_paces(settings.cache_dir).voices.get(candidate)
        if known is not None and not known.keeps_up:
            continue
        try:
            voice = open_voice(candidate, needs)
            if known is not None or measure(voice, settings.cache_dir).keeps_up:
                return voice
        except AttuneError as error:  # a damaged voice leaves the next one
            logger.warning("the voice %s is left out: %s", candidate, error)
            problems.append(str(error))
    why = "; ".join(problems) or "none that is ready keeps up with real time"
    raise AttuneError(f"there is no voice: {why}; `attune voices list` shows what to get")
