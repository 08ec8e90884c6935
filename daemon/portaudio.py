"""The sound library: sounddevice, and what Attune uses of it that its documentation does not
promise. Written for sounddevice 0.5; a test sees whether these names are there."""

import atexit
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

UNDOCUMENTED = ("_exit_handler", "_initialize", "_terminate")
"""Names of sounddevice's own that are used here."""

_WRONG_CHANNELS, _WRONG_RATE = -9998, -9997


Format = tuple[int, int]
"""A sample rate in Hz, and a number of channels."""
Stream = TypeVar("Stream")


def open_stream(
    sounddevice: Any, formats: Sequence[Format], opened: Callable[[int, int], Stream]
) -> tuple[Stream, Format]:
    """What `opened` returns for the first of `formats` that the device takes, and that format.
    Raises PortAudioError where the device cannot be opened, or takes none of them."""
    for rate_hz, channels in formats[:-1]:
        try:
            return opened(rate_hz, channels), (rate_hz, channels)
        except sounddevice.PortAudioError as error:
            if error.args[1] not in (_WRONG_RATE, _WRONG_CHANNELS):
                raise
    return opened(*formats[-1]), formats[-1]


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
