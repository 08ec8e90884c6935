"""`make bench-scale`: whether rounds end in a time that the training bound sets, however much is
stored. Prints JSON.

1. Real rounds of a whole daemon, each on a store of its own with 100, 1,000 and 5,000 enrolled
   utterances: the processor time of
   daemon and child by stage, and in all as a ratio to the first. Utterances are sentences of
   synthetic voices, each time at
   another level and with other noise, so that each is another one to the store.
2. How long `attune adapt --plan` takes with 100,000 labelled utterances stored.
"""

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from daemon.cli.common import settings
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.store.store import Store, is_holdout
from engines.audio.recordings import read_audio
from engines.device.process_time import activity
from engines.errors import AttuneError
from engines.generations.folder import read_generation
from engines.types import Float32
from tests.bench.world import fresh_state, settings_of

VOICES = ("rms", "slt", "kal16")
ROOMS = ("kitchen", "bedroom", "garage", "hallway", "office", "garden", "attic", "cellar")
ASKED = (
    "Turn on the light in the {}.",
    "Is the window open in the {}?",
    "Set the {} to twenty degrees.",
    "Play some music in the {}.",
    "How warm is it in the {}?",
    "Did anybody leave the door of the {} open?",
)


def main() -> None:
    """Run both parts in a folder of their own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes",
        default="100,1000,5000",
        help="labelled utterances, a round for each, with commas between",
    )
    parser.add_argument(
        "--training-seconds",
        type=float,
        default=20.0,
        help="processor seconds per thread of each round",
    )
    parser.add_argument(
        "--planned",
        type=int,
        default=100_000,
        help="labelled utterances of the second part; 0 leaves it out",
    )
    arguments = parser.parse_args()
    sizes = [int(part) for part in arguments.sizes.split(",") if part]
    found: dict[str, object] = {"training_seconds": arguments.training_seconds}
    with tempfile.TemporaryDirectory(prefix="attune-scale-") as name:
        folder = Path(name)
        spoken = list(_spoken(folder / "spoken")) if sizes else []
        rounds = [
            _round(folder / str(size), size, spoken, arguments.training_seconds) for size in sizes
        ]
        first = float(str(rounds[0]["processor_seconds"])) if rounds else 1.0
        for one in rounds:
            one["ratio"] = round(float(str(one["processor_seconds"])) / first, 2)
        found["rounds"] = rounds
        if arguments.planned:
            found["plan"] = _plan(folder / "planned", arguments.planned)
    print(json.dumps(found, indent=2))


def _spoken(folder: Path) -> Iterator[tuple[Float32, str]]:
    """Every sentence by every voice."""
    folder.mkdir(parents=True)
    for number, (asked, room, voice) in enumerate(itertools.product(ASKED, ROOMS, VOICES)):
        text, path = asked.format(room), folder / f"{number}.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        yield read_audio(path), text


def _varied(samples: Float32, seed: int) -> Float32:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0.0, 0.002, len(samples))
    return np.clip(samples * rng.uniform(0.6, 1.0) + noise, -1.0, 1.0).astype(np.float32)


def _environment(folder: Path, training_seconds: float) -> dict[str, str]:
    """A state of its own, and a cache that has the installed models but no features: nothing was
    heard before."""
    installed, cache = settings().cache_dir, folder / "cache"
    (cache / "features").mkdir(parents=True)
    for name in ("models", "engines", "verified", "footprints.json", "features/replay"):
        if (installed / name).exists():
            (cache / name).symlink_to(installed / name)
    socket = folder / "a.sock"
    return settings_of(
        folder / "state",
        socket,
        CACHE_DIR=cache,
        ADAPT__TRAINING_SECONDS=training_seconds,
        ADAPT__RECOGNISER_SECONDS=training_seconds,
        BUDGET__BYTES=2**50,
        IDLE__MIN_AVAILABLE_BYTES=0,
    )


def _round(
    folder: Path, size: int, spoken: list[tuple[Float32, str]], training_seconds: float
) -> dict[str, object]:
    store = Store(fresh_state(folder / "state"))
    for number in range(size):
        samples, text = spoken[number % len(spoken)]
        store.add_label(
            store.add_utterance(_varied(samples, number), "enrolled").id, text, "enrolled"
        )
    store.close()
    environment = _environment(folder, training_seconds)
    stages: dict[str, float] = {}
    outcome = reason = ""
    with private_daemon(environment, folder / "daemon.log") as status:
        daemon, began = status.process, time.monotonic()
        first = last = _used(daemon)
        for event in request(
            Path(environment["CONTROL__SOCKET"]), {"command": "adapt"}, quiet_seconds=None
        ):
            now, stage = _used(daemon), str(event["stage"] or event["state"])
            stages[stage] = stages.get(stage, 0.0) + now - last
            last, outcome, reason = now, str(event.get("outcome")), str(event["last_reason"])
            print(f"{size}: {stage} {event['fraction']:.2f} {event['note']}", file=sys.stderr)
        seconds = time.monotonic() - began
    if outcome not in ("promoted", "refused"):
        raise AttuneError(f"the round of {size} utterances ended otherwise: {reason}")
    card = read_generation(folder / "state" / "generations" / "0001").card
    return {
        "labelled": size,
        "outcome": outcome,
        "learnt": sum(card.examples_by_origin.values()),
        "judged": card.holdout.candidate.utterances if card.holdout else 0,
        "steps": card.steps,
        "processor_seconds": round(last - first, 1),
        "by_stage": {stage: round(used, 1) for stage, used in stages.items()},
        "wall_seconds": round(seconds, 1),
    }


def _used(process: int) -> float:
    """Processor seconds of the daemon and of all children that it had."""
    seen = activity(process)
    assert seen is not None
    return seen.processor_seconds


def _plan(folder: Path, count: int) -> dict[str, object]:
    store = Store(fresh_state(folder / "state"))
    ids = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(count)]
    with store.writing() as connection:
        utterances = [(one, 0.0, 4.0, "file", f"{one}.flac", is_holdout(one)) for one in ids]
        columns = "(id, created_at, seconds, source, audio, holdout, service_at)"
        connection.executemany(
            f"INSERT INTO utterances {columns} VALUES (?, ?, ?, ?, ?, ?, 0.0)", utterances
        )
        labels = [
            (one, f"sentence number {number}", ("enrolled", "recognised")[number % 10 > 0])
            for number, one in enumerate(ids)
        ]
        statement = (
            "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?, ?, ?,"
            " 0.9, 0.0)"
        )
        connection.executemany(statement, labels)
    for one in ids:
        (store.audio_folder / f"{one}.flac").touch()
    store.close()
    environment = _environment(folder, 180.0)
    with private_daemon(environment, folder / "daemon.log") as status:
        daemon, socket = status.process, Path(environment["CONTROL__SOCKET"])
        took = []
        for _ in range(3):
            began, used = time.monotonic(), _used(daemon)
            list(request(socket, {"command": "adapt", "action": "plan"}, quiet_seconds=None))
            took.append(
                {
                    "wall_seconds": round(time.monotonic() - began, 2),
                    "processor_seconds": round(_used(daemon) - used, 2),
                }
            )
    return {"labelled": count, "plans": took}


if __name__ == "__main__":
    main()
