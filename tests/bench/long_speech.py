"""`make bench-long-speech`: whether long utterances are heard to their end, in time, and with signs
of life. Prints JSON.

Five synthetic voices read paragraphs of 20 to 29 s. Each is put to a daemon on both routes, whole
and cut at its pauses into utterances of their own: word error of both, and the milliseconds to the
first token of the reply to the whole one. The daemon is watched as systemd would: the longest time
between two signs of life is told, with `--busy 2` beside two programs that compute all the time.
Exits with 1 where an aim is missed: at most two points more word error whole than cut, a first
token on the aligned route within three times the cascade's, no sign of life later than 15 s.
"""

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from calibration.evaluation.text_scores import word_errors
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.control.server import Message
from engines.audio.pieces import PauseCutter
from engines.audio.recordings import write_flac
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.bench.world import fresh_state, settings_of
from tests.support.audio_fixtures import espeak, flite

MOST_SECONDS = 29.0
WATCHDOG_SECONDS = 30.0
MORE_ERROR, SLOWER = 0.02, 3.0
PARAGRAPHS = (
    (
        "Please remind me tomorrow morning at eight to call the dentist, and after that write down"
        " that we need milk, butter, two loaves of bread and some apples. When I come home in the"
        " evening, turn on the lights in the hallway, set the heating to twenty one degrees, and"
        " play some quiet music in the kitchen until the guests arrive at half past seven. And do"
        " not forget to lock the back door before we all go to bed tonight, because the neighbours"
        " told us about a thief in our street."
    ),
    (
        "The old man walked slowly along the river until he reached the bridge near the mill. There"
        " he sat down on a bench, opened his bag, and took out a piece of bread for the ducks. It"
        " was a cold morning, but the sun was shining, and the water looked almost blue. He thought"
        " about his brother, who had moved to the city many years ago, and wondered whether he"
        " would ever come back to visit the village. Then he closed his bag, stood up, and went"
        " home across the fields."
    ),
    (
        "the quick brown fox jumps over the lazy dog and then it runs along the river until it"
        " meets an old friend who tells it a story about a king who lived in a castle on a hill and"
        " who had three daughters and every one of them wanted to travel around the world in a"
        " small red boat with a big white sail and so they packed their bags and took some bread"
        " and cheese and walked down to the harbour where the captain waited for them and said that"
        " the wind was good and the sea was calm"
    ),
    (
        "What is the weather going to be like this weekend? We want to drive to the mountains on"
        " Saturday, stay there for one night, and come back on Sunday afternoon. If there is going"
        " to be snow I have to put the chains in the car, and if it is warm enough the children"
        " want to swim in the lake. Could you also tell me how long the drive takes when there is a"
        " lot of traffic on the road, and where we can stop for lunch on the way?"
    ),
)
VOICES = {
    "slt": flite,
    "rms": flite,
    "awb": flite,
    "kal16": flite,
    "en-us+f3": espeak,
}


def main() -> None:
    """Ask everything, whole and in pieces."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy", type=int, default=0, help="programs that compute beside it")
    parser.add_argument(
        "--paragraphs", type=int, default=len(PARAGRAPHS), help="how many of them each voice reads"
    )
    arguments = parser.parse_args()
    counted: dict[str, list[tuple[int, int]]] = {}
    waited: dict[str, list[float]] = {"cascade": [], "aligned": []}
    with (
        tempfile.TemporaryDirectory(prefix="attune-long-") as name,
        _busy(arguments.busy),
        _manager(Path(name)) as life,
    ):
        folder = Path(name)
        given = settings_of(
            fresh_state(folder / "state"),
            folder / "a.sock",
            AUDIO__KEEP=False,
            CONVERSATION__FORGET_AFTER_SECONDS=0,
        ) | {"CONVERSATION__MAX_REPLY_TOKENS": "4"}
        with private_daemon(given, folder / "log"):
            life.begin()
            for label, whole in _utterances(arguments.paragraphs):
                pieces = PauseCutter().cut(whole)
                for route, waits in waited.items():
                    turn = _asked(folder, whole, route)
                    waits.append(float(str(turn["first_token_ms"])))
                    cut = " ".join(str(_asked(folder, piece, route)["heard"]) for piece in pieces)
                    counted.setdefault(f"{route}, whole", []).append(
                        word_errors(label, str(turn["heard"]))
                    )
                    counted.setdefault(f"{route}, cut", []).append(word_errors(label, cut))
                print(
                    f"{label[:40]}… {len(whole) / SAMPLE_RATE_HZ:.1f} s",
                    {k: v[-1] for k, v in counted.items()},
                    file=sys.stderr,
                )
        longest = life.longest_seconds
    errors = {
        name: sum(wrong for wrong, _ in some) / sum(words for _, words in some)
        for name, some in counted.items()
    }
    slower = statistics.median(waited["aligned"]) / statistics.median(waited["cascade"])
    found = {
        "word_error": {name: round(rate, 4) for name, rate in errors.items()},
        "first_token_ms": {
            route: round(statistics.median(waits)) for route, waits in waited.items()
        },
        "first_token_ratio": round(slower, 2),
        "longest_without_sign_of_life_seconds": round(longest, 1),
    }
    print(json.dumps(found, indent=2))
    more = max(errors[f"{route}, whole"] - errors[f"{route}, cut"] for route in waited)
    sys.exit(more > MORE_ERROR or slower > SLOWER or longest > WATCHDOG_SECONDS / 2)


def _utterances(paragraphs: int) -> Iterator[tuple[str, Float32]]:
    """What is said and its sound: paragraphs, shortened where a voice is too slow for them."""
    for voice, say in VOICES.items():
        for paragraph in PARAGRAPHS[:paragraphs]:
            words = paragraph.split()
            while len(samples := say(" ".join(words), voice)) > MOST_SECONDS * SAMPLE_RATE_HZ:
                words = words[:-3]
            yield " ".join(words), samples


def _asked(folder: Path, samples: Float32, route: str) -> Message:
    path = folder / "asked.flac"
    write_flac(path, samples)
    command: Message = {"command": "ask", "audio": path, "route": route}
    [turn] = [
        event for event in request(folder / "a.sock", command, 600) if event["event"] == "turn"
    ]
    return turn


class _Life:
    """The signs of life that a daemon gives."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._last: float | None = None

    def begin(self) -> None:
        """Measure from now on."""
        self._last = time.monotonic()

    def sign(self) -> None:
        """One came."""
        if self._last is not None:
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - self._last)
            self._last = time.monotonic()


@contextmanager
def _manager(folder: Path) -> Iterator[_Life]:
    """A service manager that counts signs of life; its address is in the environment meanwhile."""
    life = _Life()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))

        def listen() -> None:
            while message := listening.recv(4096):
                if b"WATCHDOG=1" in message:
                    life.sign()

        os.environ |= {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(1e6 * WATCHDOG_SECONDS)),
        }
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield life
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(folder / "notify"))
        thread.join()


@contextmanager
def _busy(count: int) -> Iterator[None]:
    programs = [multiprocessing.Process(target=_compute, daemon=True) for _ in range(count)]
    for program in programs:
        program.start()
    yield
    for program in programs:
        program.kill()


def _compute() -> None:
    rng = np.random.default_rng(0)
    while True:
        rng.standard_normal(100_000).sort()


if __name__ == "__main__":
    main()
