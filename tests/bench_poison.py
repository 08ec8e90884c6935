"""`make poison`: whether wrong labels, another speaker or noise among what is learnt make what is served worse. Prints JSON.

A daemon learns a speaker. Then, each from that state anew, a hundred utterances of one kind of poison are enrolled and a round is
run; requests that were never enrolled are put to what is served before and after. Exits with 1 where poison made it worse by more
than a tenth of its errors and two points.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from calibration.text_scores import word_error_rate
from daemon.client import request
from daemon.enrolling import enroll
from daemon.events import Event
from daemon.private_daemon import private_daemon
from engines.audio import write_flac
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ
from tests.bench_world import Rows, fresh_state, settings_of, speak, write_rows

POISONED = 100
LEARNT = 160
ASKED = 40


def main() -> None:
    """Learn, poison in three ways, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training-seconds", type=float, default=120.0)
    parser.add_argument("--kinds", default="wrong labels,another speaker,noise", help="of poison, with commas between")
    arguments = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="attune-poison-") as name:
        folder = Path(name)
        rows = speak(folder / "atypical", "atypical")
        good, spare, asked = rows[:LEARNT], rows[LEARNT : LEARNT + POISONED], rows[-ASKED:]
        clean = fresh_state(folder / "clean")
        with _daemon(clean, arguments.training_seconds) as socket:
            first = _learn(socket, folder, good)
            if first.get("outcome") != "promoted":
                raise AttuneError(f"nothing was learnt that could be poisoned: {first.get('last_reason')}")
            before = _error(socket, asked)
        found: dict[str, object] = {"before": round(before, 4)}
        worse = False
        poisons: dict[str, Callable[[], Rows]] = {
            "wrong labels": lambda: _mislabelled(spare, rng),
            "another speaker": lambda: speak(folder / "clear-speaker", "clear")[:POISONED],
            "noise": lambda: _noise(folder / "noises", [row["text"] for row in spare]),
        }
        for kind in arguments.kinds.split(","):
            state = folder / kind.replace(" ", "-")
            shutil.copytree(clean, state, symlinks=True)
            with _daemon(state, arguments.training_seconds) as socket:
                last = _learn(socket, folder, poisons[kind]())
                after = _error(socket, asked)
            worse |= after > max(1.1 * before, before + 0.02)
            found[kind] = {"outcome": last.get("outcome"), "reason": last.get("last_reason"), "after": round(after, 4)}
            print(kind, found[kind], file=sys.stderr)
    print(json.dumps(found, indent=2))
    sys.exit(worse)


@contextmanager
def _daemon(state: Path, training_seconds: float) -> Iterator[Path]:
    socket = state.parent / "a.sock"
    environment = settings_of(
        state,
        socket,
        AUDIO__KEEP=False,
        CONVERSATION__MAX_REPLY_TOKENS=1,
        ADAPT__TRAINING_SECONDS=training_seconds,
        ADAPT__REPLY_UTTERANCES=2,
    )
    with private_daemon(environment, state.parent / f"{state.name}.log"):
        yield socket


def _learn(socket: Path, folder: Path, rows: Rows) -> Event:
    """Enrol and run a round; how that ended."""
    manifest = write_rows(folder / "some.jsonl", rows)
    list(enroll(socket, manifest, quiet_seconds=600))
    return list(request(socket, {"command": "adapt"}, quiet_seconds=600))[-1]


def _error(socket: Path, asked: Rows) -> float:
    """Word error of what is understood on the aligned route."""
    heard = []
    for row in asked:
        command: Event = {"command": "ask", "audio": Path(row["audio"]), "route": "aligned"}
        [turn] = [event for event in request(socket, command, quiet_seconds=600) if event["event"] == "turn"]
        heard.append(str(turn["heard"]))
    return word_error_rate([(row["text"], text) for row, text in zip(asked, heard, strict=True)])[0]


def _mislabelled(rows: Rows, rng: random.Random) -> Rows:
    texts = [row["text"] for row in rows]
    rng.shuffle(texts)
    return [{"audio": row["audio"], "text": text} for row, text in zip(rows, texts, strict=True)]


def _noise(folder: Path, texts: list[str]) -> Rows:
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.flac"
        write_flac(path, (0.1 * rng.standard_normal(3 * SAMPLE_RATE_HZ)).astype(np.float32))
        rows.append({"audio": str(path), "text": text})
    return rows


if __name__ == "__main__":
    try:
        main()
    except AttuneError as error:
        sys.exit(str(error))
