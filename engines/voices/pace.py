"""How fast each voice speaks on this machine, measured once and kept in the cache."""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from ..device.processor import processor_name
from ..files import write_atomically
from ..schema import Frozen, read_json
from .voice import Voice

MOST_REAL_TIME_FACTOR = 0.3
"""The real-time factor up to which a voice keeps up: it shares the processor with the language
model that writes on, and its first clause is heard only once it is computed."""
_SENTENCES = ("Measuring.", "It is half past seven, and your timer has ten minutes left.")
"""The first opens what the voice opens late; the second is timed."""


class Pace(Frozen):
    """The pace of one voice."""

    real_time_factor: float
    """Seconds of computing for each second of sound."""

    @property
    def keeps_up(self) -> bool:
        """Whether the voice is fast enough for a conversation."""
        return self.real_time_factor <= MOST_REAL_TIME_FACTOR


class Paces(Frozen):
    """The paces that were measured on one machine."""

    machine: str
    voices: dict[str, Pace] = Field(default_factory=dict)


def read_paces(cache_dir: Path) -> Paces:
    """What was measured on this machine so far."""
    machine, kept = processor_name(), read_json(_path(cache_dir), Paces)
    return kept if kept is not None and kept.machine == machine else Paces(machine=machine)


def measure(voice: Voice, cache_dir: Path, clock: Callable[[], float] = time.perf_counter) -> Pace:
    """Measure the pace of `voice`, and keep it. Raises AttuneError where it fails."""
    for sentence in _SENTENCES:
        began = clock()
        samples = voice.speak(sentence)
        took = clock() - began
    pace = Pace(real_time_factor=round(took * voice.rate_hz / max(1, len(samples)), 3))
    paces = read_paces(cache_dir)
    kept = paces.model_copy(update={"voices": {**paces.voices, voice.name: pace}})
    cache_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(cache_dir), kept.model_dump_json(indent=1).encode())
    return pace


def _path(cache_dir: Path) -> Path:
    return cache_dir / "voices.json"
