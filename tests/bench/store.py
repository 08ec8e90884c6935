"""`make bench-store`: how long a store of 1,000 and of 100,000 of everything takes to open, count
and list; prints a table.

The last lines are of a whole daemon on that store, asked through its socket. Leaves with 1 where
the store's start takes over 2 s, or a query or a request over 50 ms. A daemon's start is shown, not
judged: most of it is the opening of models.
"""

import argparse
import hashlib
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from daemon.attention import Attention
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.config.settings import Settings
from daemon.housekeeping import Housekeeping
from daemon.serving.moves import Moves
from daemon.store.orphans import adopt_orphans
from daemon.store.store import Store, is_holdout
from tests.bench.world import fresh_state, settings_of

START_SECONDS, QUERY_SECONDS = 2.0, 0.05
_TIMES = 9


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1000, 100_000],
        help="of utterances, labels and turns",
    )
    sizes = parser.parse_args().sizes
    taken = [_measured(size) for size in sizes]
    print(f"{'milliseconds with':24}" + "".join(f"{size:>12,}" for size in sizes) + f"{'ratio':>9}")
    for name in taken[0]:
        times = [one[name] for one in taken]
        print(
            f"{name:24}"
            + "".join(f"{1000 * seconds:12.1f}" for seconds in times)
            + f"{times[-1] / times[0]:9.1f}"
        )
    slow = [name for name, seconds in taken[-1].items() if seconds > _allowed_seconds(name)]
    if slow:
        print(f"too slow: {', '.join(slow)}")
    return 1 if slow else 0


def _allowed_seconds(name: str) -> float:
    if name == "start of a daemon":
        return math.inf
    return START_SECONDS if name in ("start", "housekeeping") else QUERY_SECONDS


def _measured(size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="attune-") as name:
        settings = Settings.model_validate(
            {"state_dir": f"{name}/state", "cache_dir": f"{name}/cache"}
        )
        fill(fresh_state(settings.state_dir), size)
        began = time.perf_counter()
        store = Store(settings.state_dir)
        adopt_orphans(store, time.time())
        taken = {"start": time.perf_counter() - began}
        keeping = Housekeeping(
            settings, store, Attention(), Moves(settings.generations, lambda generation: None)
        )
        for what, act in (
            ("counts", store.counts),
            ("last turns", lambda: store.history.last_turns(5)),
            ("last round", store.history.seconds_since_round),
            ("problems", store.problems),
            ("without a label", store.missing_labels),
            ("housekeeping", keeping.tidy),
        ):
            taken[what] = _median_seconds(act)
        store.close()
        return taken | _daemon(settings.state_dir)


def _daemon(state: Path) -> dict[str, float]:
    """Of a daemon that serves `state`: until it answers, and what it answers."""
    socket = state.parent / "a.sock"
    began = time.perf_counter()
    with private_daemon(settings_of(state, socket), state.parent / "daemon.log"):
        started = time.perf_counter() - began
        asked = {
            name: _median_seconds(partial(_ask, socket, name)) for name in ("status", "metrics")
        }
    return {"start of a daemon": started} | {
        f"attune {name}": seconds for name, seconds in asked.items()
    }


def _ask(socket: Path, command: str) -> None:
    list(request(socket, {"command": command}))


def _median_seconds(act: Callable[[], object]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def fill(folder: Path, size: int) -> None:
    """A store of `size` utterances with an (empty) file, a label and a turn each."""
    store = Store(folder)
    ids = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(size)]
    with store.writing() as connection:
        connection.executemany(
            "INSERT INTO utterances (id, created_at, seconds, source, audio, holdout, user,"
            " user_by) VALUES (?, 1.0, 3.0, 'microphone', ?, ?, 1, 'voice')",
            ((one, f"{one}.flac", is_holdout(one)) for one in ids),
        )
        connection.executemany(
            "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?, ?, ?,"
            " 0.9, 1.0)",
            (
                (one, "turn on the light", "corrected" if number % 10 == 0 else "recognised")
                for number, one in enumerate(ids)
            ),
        )
        connection.executemany(
            "INSERT INTO turns (utterance, route, heard, reply, reply_ms, created_at) VALUES (?,"
            " 'cascade', ?, ?, 90.0, 1.0)",
            ((one, "turn on the light", "I have turned on the light.") for one in ids),
        )
    for one in ids:
        (store.audio_folder / f"{one}.flac").touch()
    store.close()


if __name__ == "__main__":
    sys.exit(main())
