"""Opens the voice that is wanted, or finds out which one `auto` means on this device."""

import logging

from ..errors import AttuneError
from .catalogue import VoiceNeeds, automatic_voices, open_voice
from .pace import measure, read_paces
from .voice import Voice

logger = logging.getLogger(__name__)

AUTO = "auto"


def open_wanted(name: str, needs: VoiceNeeds) -> Voice:
    """Open the voice `name`.

    `auto` is the first that keeps up with real time, of those that are ready. Which voices do is
    measured at the first use of each, and remembered. Raises AttuneError if there is no voice.
    """
    if name != AUTO:
        return open_voice(name, needs)
    problems = []
    for candidate in automatic_voices(needs):
        known = read_paces(needs.cache_dir).voices.get(candidate)
        if known is not None and not known.keeps_up:
            continue
        try:
            voice = open_voice(candidate, needs)
            if known is not None or measure(voice, needs.cache_dir).keeps_up:
                return voice
        except AttuneError as error:  # a damaged voice leaves the next one
            logger.warning("the voice %s is left out: %s", candidate, error)
            problems.append(str(error))
    why = "; ".join(problems) or "none that is ready keeps up with real time"
    raise AttuneError(f"there is no voice: {why}; `attune voices list` shows what to get")
