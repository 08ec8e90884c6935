"""`make endurance`: a month of a household's days in half an hour; prints JSON, and leaves with 1
where something has no bound.

A whole daemon, its clocks ahead of real time; hundreds of utterances a day through the control
socket, some of them corrected; a round every night: all of a real one but that it trains for
seconds; quotas so small that they are full after days. Unless `--models` is given, what hears and
answers is a stand-in; with `--training 0` so is the child, which then learns nothing.
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import psutil

from daemon.app import App, Surroundings
from daemon.cli.common import settings as installed
from daemon.client.socket_client import request
from daemon.clocks import Clocks
from daemon.config.settings import Settings
from daemon.control.server import Message
from daemon.model_files import model_files
from daemon.serving.models import ServingModels, open_models
from engines.audio.recordings import read_audio, write_flac
from engines.errors import AttuneError
from engines.models.general_speech import retention_examples
from engines.types import Float32, Transcript
from tests.bench.world import fresh_state, speak
from tests.support.consent import agree
from tests.support.fake_child import FAKE
from tests.support.fakes import FakeTranscriber, fake_models, tone, write_base
from tests.support.running_daemon import measured

STORAGE = {
    "audio_bytes": 40_000_000,
    "features_bytes": 20_000_000,
    "generations": 4,
    "days_of_turns": 7.0,
}
NIGHT_SECONDS, PAUSE_SECONDS = 8 * 3600.0, 120.0
ROUND_SECONDS = 1800.0
LABELS_A_DAY = 12
SETTLED_DAYS = 10
"""After which nothing may grow any more."""

Said = Iterator[tuple[Float32, str]]


class Ahead:
    """Time that runs as always, and can be moved on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: time.time() + self.seconds, lambda: time.monotonic() + self.seconds)


@dataclass(frozen=True)
class Evening:
    """What the daemon takes at the end of a day, and how the night before went."""

    resident_bytes: int
    descriptors: int
    threads: int
    database_bytes: int
    audio_bytes: int
    features_bytes: int
    jobs: int
    generations: int
    missed: int
    round: str


def main() -> int:
    """Live the month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--utterances", type=int, default=300, help="a day")
    parser.add_argument(
        "--training",
        type=float,
        default=3.0,
        help="seconds a night; 0 for a child that learns nothing",
    )
    parser.add_argument(
        "--models",
        action="store_true",
        help="the installed models hear and answer (hours for a whole month)",
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="attune-") as name:
        folder, ahead = Path(name), Ahead()
        settings = _settings(folder, arguments.training)
        said, opened, child = _tones(rng), fake_models, [sys.executable, str(FAKE), "done", "0.0"]
        if arguments.training:
            fresh_state(settings.state_dir)
            share_models(settings.cache_dir)
            said, opened, child = (
                _speech(folder, rng),
                _stand_in,
                [sys.executable, "-m", "calibration"],
            )
        else:
            write_base(settings.generations)
            measured(settings.cache_dir)
        evenings = []
        surroundings = Surroundings(
            open_models=open_models if arguments.models else opened,
            round_command=tuple(child),
            clocks=ahead.clocks(),
        )
        agree(settings.state_dir)
        with App(settings, surroundings):
            for day in range(arguments.days):
                missed = _day(settings, folder, ahead, said, arguments.utterances)
                evenings.append(_evening(settings, missed, _night(settings, ahead)))
                print(json.dumps({"day": day + 1, **vars(evenings[-1])}), flush=True)
        problems = _unbounded(evenings)
        rounds = Counter(evening.round.split(":")[0] for evening in evenings)
        print(json.dumps({"days": len(evenings), "rounds": rounds, "problems": problems}))
        return 1 if problems else 0


def _settings(folder: Path, training_seconds: float) -> Settings:
    return Settings.model_validate(
        {
            "state_dir": folder / "state",
            "cache_dir": folder / "cache",
            "control": {"socket": folder / "a.sock"},
            "audio": {"source": "none"},
            "conversation": {"max_reply_tokens": 8},
            "idle": {
                "min_available_bytes": 0,
                "max_temperature": 1000.0,
                "on_battery": True,
                "quiet_seconds": 3600.0,
                "min_new_utterances": LABELS_A_DAY - 3,
            },
            "adapt": {
                "training_seconds": training_seconds or 1.0,
                "recogniser_seconds": training_seconds,
                "reply_utterances": 2,
            },
            "storage": STORAGE,
        }
    )


def share_models(cache_dir: Path) -> None:
    """The installed models and replay set, in a cache whose features are its own."""
    (cache_dir / "features").mkdir(parents=True)
    there = installed().cache_dir
    for shared in ("models", "engines", "footprints.json", "features/replay"):
        if (there / shared).exists():
            (cache_dir / shared).symlink_to(there / shared)


def _stand_in(settings: Settings) -> ServingModels:
    """What hears and answers tones, and is sure of nothing, beside the installed models' files:
    what a round needs of a voice."""
    files = model_files(settings)
    return replace(
        fake_models(settings),
        transcriber=lambda _generation: FakeTranscriber(_unsure),
        files=files,
        general=retention_examples(settings.cache_dir)[:8],
    )


def _unsure(_samples: Float32) -> Transcript:
    return Transcript("something")


def _tones(rng: random.Random) -> Said:
    return (
        (
            tone(rng.uniform(0.5, 1.5), 100 + rng.random() * 3000),
            f"what was said as number {number}",
        )
        for number in count()
    )


def _speech(folder: Path, rng: random.Random) -> Said:
    """The atypical speaker's requests over and over, no two of them recorded alike."""
    rows = speak(folder / "speaker", "atypical")
    noise = np.random.default_rng(rng.getrandbits(32))
    while True:
        row = rng.choice(rows)
        samples = read_audio(Path(row["audio"])) * rng.uniform(0.5, 1.0)
        yield (
            (samples + 0.002 * noise.standard_normal(len(samples))).astype(np.float32),
            row["text"],
        )


def _day(settings: Settings, folder: Path, ahead: Ahead, said: Said, utterances: int) -> int:
    """Speak, and correct a turn now and then; returns how many were not answered."""
    missed = 0
    for number in range(utterances):
        path = folder / "said.flac"
        samples, text = next(said)
        write_flac(path, samples)
        try:
            missed += _do(settings, command="ask", audio=path)[-1]["event"] != "turn"
            if number % max(1, utterances // LABELS_A_DAY) == 0:
                _do(settings, command="correct", text=text)
        except AttuneError as error:
            print(f"utterance {number}: {error}", file=sys.stderr)
            missed += 1
        ahead.seconds += PAUSE_SECONDS
    return missed


def _night(settings: Settings, ahead: Ahead) -> str:
    """Let everybody sleep until a round has ended; returns how it did."""
    events = request(settings.control.socket, {"command": "events"}, ROUND_SECONDS)
    next(events)
    ahead.seconds += NIGHT_SECONDS
    deadline = time.monotonic() + ROUND_SECONDS
    for event in events:
        if event["event"] == "adaptation" and event.get("outcome"):
            return f"{event['outcome']}: {event.get('last_reason')}"
        if time.monotonic() > deadline:
            break
    return "none"


def _evening(settings: Settings, missed: int, ended: str) -> Evening:
    gc.collect()
    process = psutil.Process()
    return Evening(
        resident_bytes=process.memory_info().rss,
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        database_bytes=_size(settings.state_dir.glob("attune.db*")),
        audio_bytes=_size((settings.state_dir / "audio").iterdir()),
        features_bytes=_size((settings.cache_dir / "features").glob("*.*")),
        jobs=len(list((settings.state_dir / "jobs").glob("[0-9]*"))),
        generations=len(list(settings.generations.glob("[0-9]*"))),
        missed=missed,
        round=ended,
    )


def _size(paths: Iterator[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


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
        # A round writes its own after the last tidying.
        "features are beyond their quota": last.features_bytes > 3 * STORAGE["features_bytes"],
        "jobs are left behind": last.jobs > 2,
        "generations are beyond their quota": last.generations > STORAGE["generations"] + 3,
        "there were nights without a round": any(evening.round == "none" for evening in evenings),
        "rounds failed": any(evening.round.startswith("failed") for evening in evenings),
    }
    return [problem for problem, there in found.items() if there]


def _do(settings: Settings, **command: object) -> list[Message]:
    return list(request(settings.control.socket, dict(command), 60))


if __name__ == "__main__":
    sys.exit(main())
