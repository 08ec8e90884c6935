"""`make bench-speculation`: what beginning answers early costs, and whether it leaves a trace.
Prints JSON.

A daemon with real models hears the same turns twice, in real time: with `conversation.speculate`
and without. In three of ten the speaker pauses for long enough that the answer is begun, and goes
on. Compared are the processor time of the daemon, and everything that can be seen later: what was
heard and answered, the turns and utterances in the store, and the events. Replies are only written.

Exits with 1 where an aim is missed: at most 1.5 times the processor time, and no difference.
"""

import argparse
import json
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daemon.app import App, Surroundings
from daemon.client.socket_client import request
from daemon.config.settings import AudioSettings
from daemon.config.sources import load_settings
from daemon.control.server import Message
from daemon.conversation.turn_taking import GOES_ON_UNHEARD_SECONDS
from daemon.listening.source import CHUNK_SECONDS, AudioSource
from daemon.listening.status import SourceStatus
from engines.audio.recordings import read_audio
from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL, read_prompts
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.bench.world import fresh_state
from tests.support.places import cache_dir

MOST_COST = 1.5
PAUSE_SECONDS, END_SECONDS = 0.4, 0.6
"""The pause after which the speaker goes on, and the silence that ends a turn."""
_PATIENCE_SECONDS = 120.0


class RealTimeMicrophone:
    """Gives what is said to it, and silence in between, as fast as a microphone does."""

    def __init__(self) -> None:
        self._waiting: deque[Float32] = deque()
        self._began = time.monotonic()
        self._given = 0
        self._closed = threading.Event()

    def say(self, samples: Float32) -> None:
        padded = np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES))
        self._waiting.extend(padded.reshape(-1, CHUNK_SAMPLES))

    def lend(self, audio: AudioSettings) -> AudioSource | None:
        return self

    def read(self, at_most: int) -> Float32 | None:
        due = self._began + (self._given + at_most) * CHUNK_SECONDS
        self._closed.wait(max(0.0, due - time.monotonic()))
        if self._closed.is_set():
            return None
        self._given += at_most
        silent = np.zeros(CHUNK_SAMPLES, np.float32)
        return np.stack(
            [self._waiting.popleft() if self._waiting else silent for _ in range(at_most)]
        )

    def status(self) -> SourceStatus:
        return SourceStatus("microphone", True, 0.0)

    def close(self) -> None:
        self._closed.set()


@dataclass
class Run:
    """What one daemon did."""

    processor_seconds: float = 0.0
    turns: list[tuple[str, str]] = field(default_factory=list)
    """What was heard and replied in each turn."""
    events: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Any] = field(default_factory=dict)
    gaps_ms: list[float] = field(default_factory=list)


def run(turns: list[Float32], speculate: bool) -> Run:
    """Let a daemon hear `turns`, one after the other."""
    found, happening = Run(), queue.SimpleQueue[Message]()
    with tempfile.TemporaryDirectory() as folder:
        state, control = fresh_state(Path(folder, "state")), Path(folder, "a.sock")
        flags: dict[str, object] = {
            "state_dir": state,
            "cache_dir": cache_dir(),
            "control.socket": control,
            "speaking.voice": "none",
            "idle.enabled": False,
            "conversation.speculate": speculate,
            "segmenter.end_silence_seconds": END_SECONDS,
        }
        settings = load_settings(Path(os.devnull), flags, {}).settings
        microphone = RealTimeMicrophone()
        sources: Any = microphone
        with App(settings, Surroundings(sources=sources)):
            follow = threading.Thread(target=_follow, args=(control, happening), daemon=True)
            follow.start()
            assert happening.get(timeout=_PATIENCE_SECONDS)["event"] == "following"
            began = time.process_time()
            for samples in turns:
                microphone.say(samples)
                while (event := happening.get(timeout=_PATIENCE_SECONDS))["event"] != "turn":
                    found.events[event["event"]] += 1
                found.events["turn"] += 1
                found.turns.append((event["heard"], event["reply"]))
                found.gaps_ms.append(event["first_token_ms"] or 0.0)
                time.sleep(GOES_ON_UNHEARD_SECONDS + 0.3)  # or it would go on with the same turn
            found.processor_seconds = time.process_time() - began
            [status] = request(control, {"command": "status"}, 60)
            found.counts = status["counts"]
    return found


def _follow(control: Path, happening: "queue.SimpleQueue[Message]") -> None:
    with suppress(AttuneError):  # the daemon ends before its follower
        for event in request(control, {"command": "events"}, None):
            if event["event"] != "alive":
                happening.put(event)


def spoken(path: Path) -> Float32:
    """A recording without the silence around it."""
    samples = read_audio(path)
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return samples[loud[0] : loud[-1] + 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    given = parser.parse_args()
    rng = random.Random(1)
    prompts = read_prompts(model_path(GENERAL_MODEL, cache_dir()))
    short = [one for one in prompts if 0.8 <= one.seconds <= 2.0]
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    turns = []
    for number in range(given.turns):
        said = spoken(rng.choice(short).audio)
        if number % 10 < 3:
            said = np.concatenate([said, pause, spoken(rng.choice(short).audio)])
        turns.append(said)
    without, with_it = run(turns, speculate=False), run(turns, speculate=True)
    cost = with_it.processor_seconds / without.processor_seconds
    figures = {
        "turns": len(turns),
        "go_on": sum(number % 10 < 3 for number in range(given.turns)),
        "processor_seconds": [without.processor_seconds, with_it.processor_seconds],
        "cost": cost,
        "same_turns": without.turns == with_it.turns,
        "differ": [
            pair for pair in zip(without.turns, with_it.turns, strict=True) if pair[0] != pair[1]
        ][:5],
        "counts": [without.counts, with_it.counts],
        "events": [without.events, with_it.events],
        "first_token_ms_median": [
            float(np.median(without.gaps_ms)),
            float(np.median(with_it.gaps_ms)),
        ],
    }
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    met = cost <= MOST_COST and without.turns == with_it.turns
    met = met and without.events == with_it.events
    return 0 if met and without.counts == with_it.counts else 1


if __name__ == "__main__":
    sys.exit(main())
