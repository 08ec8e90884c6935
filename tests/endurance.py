"""`make endurance`: a month of a household's days in a few minutes; prints JSON, and leaves with 1 where something has no bound.

A whole daemon, its clocks ahead of real time; hundreds of utterances a day through the control socket, some of them corrected; a
round every night, by a child that learns nothing; quotas so small that they are full after days. Knows no models: what they take
does not grow with use.
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from daemon.app import App
from daemon.client import request
from daemon.clocks import Clocks
from daemon.config import Settings
from daemon.events import Event
from engines.audio import write_flac
from engines.errors import AttuneError
from tests.fake_child import FAKE
from tests.fakes import fake_voice, tone, write_base
from tests.running_daemon import measured

STORAGE = {"audio_bytes": 20_000_000, "features_bytes": 1_000_000, "generations": 4, "days_of_turns": 7.0}
NIGHT_SECONDS, PAUSE_SECONDS = 8 * 3600.0, 120.0
ROUND_SECONDS = 60.0
SETTLED_DAYS = 10
"""After which nothing may grow any more."""


class Ahead:
    """Time that runs as always, and can be moved on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: time.time() + self.seconds, lambda: time.monotonic() + self.seconds)


@dataclass(frozen=True)
class Evening:
    """What the daemon takes at the end of a day."""

    resident_bytes: int
    descriptors: int
    threads: int
    database_bytes: int
    audio_bytes: int
    generations: int
    missed: int


def main() -> int:
    """Live the month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--utterances", type=int, default=300, help="a day")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="attune-") as name:
        folder, ahead = Path(name), Ahead()
        settings = Settings.model_validate(
            {
                "state_dir": folder / "state",
                "cache_dir": folder / "cache",
                "control": {"socket": folder / "a.sock"},
                "audio": {"source": "none"},
                "idle": {"min_available_bytes": 0, "max_temperature": 1000.0, "on_battery": True, "quiet_seconds": 3600.0},
                "storage": STORAGE,
            }
        )
        write_base(settings.generations)
        measured(settings.cache_dir)
        evenings = []
        with App(settings, fake_voice, (sys.executable, str(FAKE), "done", "0.0"), ahead.clocks()):
            for day in range(arguments.days):
                missed = _day(settings, folder, ahead, day, arguments.utterances)
                rounds = _night(settings, ahead)
                evenings.append(_evening(settings, missed))
                print(json.dumps({"day": day + 1, "rounds": rounds, **vars(evenings[-1])}), flush=True)
        problems = _unbounded(evenings)
        print(json.dumps({"days": len(evenings), "problems": problems}))
        return 1 if problems else 0


def _day(settings: Settings, folder: Path, ahead: Ahead, day: int, utterances: int) -> int:
    """Speak, and correct one turn in ten; returns how many were not answered."""
    missed = 0
    for number in range(utterances):
        path = folder / "said.flac"
        write_flac(path, tone(random.uniform(0.5, 1.5), 100 + random.random() * 3000))
        try:
            missed += _do(settings, command="ask", audio=str(path))[-1]["event"] != "turn"
            if number % 10 == 0:
                _do(settings, command="correct", text=f"what was said on day {day} as number {number}")
        except AttuneError as error:
            print(f"day {day}, utterance {number}: {error}", file=sys.stderr)
            missed += 1
        ahead.seconds += PAUSE_SECONDS
    return missed


def _night(settings: Settings, ahead: Ahead) -> int:
    """Let everybody sleep until a round has ended; returns how many did."""
    ended = 0
    events = request(settings.control.socket, {"command": "events"}, ROUND_SECONDS)
    next(events)
    ahead.seconds += NIGHT_SECONDS
    deadline = time.monotonic() + ROUND_SECONDS
    for event in events:
        if event["event"] == "adaptation" and event.get("outcome"):
            ended += 1
            break
        if time.monotonic() > deadline:
            break
    return ended


def _evening(settings: Settings, missed: int) -> Evening:
    gc.collect()
    process = psutil.Process()
    audio = [path.stat().st_size for path in (settings.state_dir / "audio").iterdir()]
    database = [path.stat().st_size for path in settings.state_dir.glob("attune.db*")]
    return Evening(
        resident_bytes=process.memory_info().rss,
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        database_bytes=sum(database),
        audio_bytes=sum(audio),
        generations=len(list(settings.generations.glob("[0-9]*"))),
        missed=missed,
    )


def _unbounded(evenings: list[Evening]) -> list[str]:
    """What grows without an end, or was not answered."""
    last, settled = evenings[-1], evenings[min(SETTLED_DAYS, len(evenings)) - 1]
    found = {
        "turns were not answered": any(evening.missed for evening in evenings),
        "memory grows": last.resident_bytes > settled.resident_bytes + 20_000_000,
        "descriptors grow": last.descriptors > settled.descriptors + 4,
        "threads grow": last.threads > settled.threads + 2,
        "the database grows": last.database_bytes > 1.5 * settled.database_bytes,
        "audio is beyond its quota": last.audio_bytes > STORAGE["audio_bytes"],
        "generations are beyond their quota": last.generations > STORAGE["generations"] + 3,
    }
    return [problem for problem, there in found.items() if there]


def _do(settings: Settings, **command: object) -> list[Event]:
    return list(request(settings.control.socket, dict(command), 60))


if __name__ == "__main__":
    sys.exit(main())
