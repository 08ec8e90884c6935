"""The sound library: sounddevice, and what Attune uses of it that its documentation does not
promise. Written for sounddevice 0.5; a test sees whether these names are there."""

import atexit
import logging
from typing import Any

logger = logging.getLogger(__name__)

UNDOCUMENTED = ("_exit_handler", "_initialize", "_terminate")
"""Names of sounddevice's own that are used here."""

_WRONG_CHANNELS, _WRONG_RATE = -9998, -9997


def is_wrong_format(error: Exception) -> bool:
    """Whether the PortAudioError `error` says that a device does not take this rate, or this number
    of channels."""
    return error.args[1] in (_WRONG_RATE, _WRONG_CHANNELS)


def load() -> Any:
    """The module. Importing it asks the sound server for its devices, and hangs where the server
    does. Raises OSError where PortAudio is not installed."""
    import sounddevice

    return sounddevice


def leave_behind(sounddevice: Any) -> None:
    """Let the process exit without waiting for a sound server that hangs: sounddevice would close
    it at the exit."""
    atexit.unregister(sounddevice._exit_handler)


def list_devices_anew(sounddevice: Any) -> None:
    """Find devices that were plugged in since: PortAudio lists them once, when it is
    initialised."""
    for step in (sounddevice._terminate, sounddevice._initialize):
        try:
            step()
        except sounddevice.PortAudioError as error:
            logger.debug("%s: %s", step.__name__, error)
