"""A voice and a loudspeaker for daemons in tests: the voice hums as long as a text is, and the
loudspeaker is a fake player, faster than real time."""

import sys
from collections.abc import Callable

import numpy as np

from daemon.app import Surroundings
from daemon.config.settings import Settings
from daemon.speaking.loudspeaker import Loudspeaker
from engines.errors import AttuneError
from engines.types import Float32
from engines.voices.voice import Voice
from tests.support.fakes import fake_models

RATE_HZ = 8000
SECONDS_PER_LETTER = 0.05


def hum(text: str) -> Float32:
    if "unsayable" in text:
        raise AttuneError("the voice hum failed")
    times = np.arange(round(SECONDS_PER_LETTER * len(text) * RATE_HZ)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * 200 * times)).astype(np.float32)


def open_hum(settings: Settings, name: str | None = None) -> Voice:
    if (name or settings.speaking.voice) == "missing":
        raise AttuneError("no voice is called 'missing'; `attune voices list` shows them")
    return Voice(name or "hum", RATE_HZ, hum)


def fake_loudspeaker(mode: str = "plays") -> Callable[[str, float], Loudspeaker]:
    """A loudspeaker by the fake player in `mode`."""

    def opened(device: str, volume: float) -> Loudspeaker:
        command = (sys.executable, "-m", "tests.support.fake_player", mode)
        return Loudspeaker(device, volume, command)

    return opened


def speaking_surroundings(mode: str = "plays") -> Surroundings:
    """The surroundings of a daemon that speaks to nobody."""
    return Surroundings(
        open_models=fake_models, open_voice=open_hum, open_loudspeaker=fake_loudspeaker(mode)
    )
