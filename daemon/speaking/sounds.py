"""Short sounds that tell a user what Attune does, where no words are due. Pure."""

from typing import Literal

import numpy as np

from engines.types import Float32

RATE_HZ = 24000
Sound = Literal["listening", "working", "not_understood", "alarm"]
_SECONDS = 0.09
_LEVEL, _ALARM_LEVEL = 0.12, 0.4
_NOTES_HZ: dict[Sound, tuple[float, ...]] = {
    "listening": (660.0, 880.0),
    "working": (550.0, 550.0),
    "not_understood": (440.0, 330.0),
    "alarm": (880.0, 1175.0, 880.0, 1175.0, 880.0, 1175.0),
}
"""The pitches of each sound, one after another: rising for attention, even for patience, falling
for a failure, to and fro for an alarm."""


def sound(name: Sound) -> Float32:
    """[N] samples of a sound at RATE_HZ; each note swells and fades, so that nothing clicks."""
    times = np.arange(round(_SECONDS * RATE_HZ)) / RATE_HZ
    swell = np.sin(np.pi * times / _SECONDS) ** 2
    notes = [np.sin(2 * np.pi * pitch * times) * swell for pitch in _NOTES_HZ[name]]
    level = _ALARM_LEVEL if name == "alarm" else _LEVEL
    return (level * np.concatenate(notes)).astype(np.float32)
