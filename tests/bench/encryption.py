"""`make bench-encryption`: what encryption costs. Prints JSON.

1. The time to the first token of a typed and of a spoken question, of two daemons with the same
   models that are asked in turn: one encrypts what it stores, the other does not.
2. What a turn reads of the database before its first token, in one process, in turn from a plain
   and from an encrypted one; and what it takes to store a turn afterwards.
3. The processor time that encryption takes in a round on 15 minutes of speech, beside all of that
   round's.
4. The disk that encrypted files take, beside what is in them.

Exits with 1 where an aim is missed: a first token at most 5 ms later, and a round at most 3 %
longer.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import daemon.app
from daemon.abilities.kept_lists import StoredLists
from daemon.alarms.shelf import AlarmShelf
from daemon.app import Surroundings
from daemon.cli.common import settings as own_settings
from daemon.client.enrolling import enroll
from daemon.client.socket_client import ask, request
from daemon.config.installation_key import open_state, protect_state
from daemon.config.settings import Settings
from daemon.config.sources import load_settings
from daemon.control.requests import Ask
from daemon.events.turns import TurnAnswered
from daemon.lifecycle import keep_files_private, serve, wishes_of_signals
from daemon.privacy.encrypted_files import encrypted_files
from daemon.store.records import Turn
from daemon.store.store import Store
from engines.encryption.files import key_id_of, read_file
from engines.errors import AttuneError
from tests.bench.world import Rows, fresh_state, settings_of, speak, write_rows

MOST_LATER_MS = 5.0
MOST_LONGER = 0.03
"""Of a round."""
_QUESTION = "Tell me something about the sea."
_START_SECONDS = 120.0


@contextmanager
def served(how: str, environment: Mapping[str, str], log: Path) -> Iterator[Path]:
    """A daemon that is `encrypted` or `plain`; yields its socket."""
    given = {f"ATTUNE__{key}": value for key, value in environment.items()}
    socket = Path(environment["CONTROL__SOCKET"])
    command = [sys.executable, "-m", "tests.bench.encryption", "--serve", how, "--log", str(log)]
    with log.with_suffix(".txt").open("wb") as lines:
        process = subprocess.Popen(command, env=os.environ | given, stdout=lines, stderr=lines)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not socket.exists() or not list(request(socket, {"command": "status"}, 60)):
            if time.monotonic() > deadline or process.poll() is not None:
                raise AttuneError(f"the daemon did not start: see {lines.name}")
            time.sleep(0.2)
        list(request(socket, {"command": "consent", "agreed": True}, 60))
        yield socket
    finally:
        process.terminate()
        process.wait(60)


def serve_here(how: str, log: Path) -> None:
    """Serve in this process until it is told to stop."""
    if how == "plain":
        vars(daemon.app).update(open_state=lambda _: None, take_over=lambda *_: "")
    keep_files_private()
    command = (sys.executable, "-m", "tests.bench.timed_child", str(log))
    # The settings without what would protect the files of a plain one.
    serve(
        lambda: load_settings().settings,
        wishes_of_signals(),
        Surroundings(round_command=command),
    )


@contextmanager
def started(order: Sequence[str], folder: Path) -> Iterator[dict[str, Path]]:
    """A plain and an encrypted daemon, started one after the other; yields their sockets. Of two
    alike, one is by twenty milliseconds slower than the other, as memory happens to be given to
    them: several pairs are needed, in both orders."""
    with ExitStack() as stack:
        sockets = {}
        for how in order:
            chosen = settings_of(
                fresh_state(folder / how / "state", agreed=False),
                folder / f"{how}.sock",
                CONVERSATION__MAX_REPLY_TOKENS=16,
                SPEAKING__VOICE="none",
            )
            sockets[how] = stack.enter_context(served(how, chosen, folder / f"{how}.log"))
        yield sockets


def first_tokens(sockets: Mapping[str, Path], rows: Rows, count: int) -> dict[str, Any]:
    """The milliseconds to the first token of a typed and of a spoken question."""
    took: dict[str, dict[str, list[float]]] = {
        what: {how: [] for how in sockets} for what in ("typed", "spoken")
    }
    order = list(sockets)
    for number in range(count + 1):
        random.Random(number).shuffle(order)
        row = rows[number % len(rows)]
        for how in order:
            for what, asked, recording in (
                ("typed", Ask(text=_QUESTION), None),
                ("spoken", Ask(audio=row["audio"]), Path(row["audio"])),
            ):
                *_, last = ask(sockets[how], asked, 300, recording=recording)
                assert isinstance(last, TurnAnswered)
                if number and last.first_token_ms is not None:
                    took[what][how].append(last.first_token_ms)
    medians = {
        what: {how: round(statistics.median(each), 2) for how, each in by_how.items()}
        for what, by_how in took.items()
    }
    return {
        what: {
            **found,
            "turns": len(took[what]["plain"]),
            "later_ms": round(found["encrypted"] - found["plain"], 2),
        }
        for what, found in medians.items()
    }


def database_cost(folder: Path, count: int) -> dict[str, Any]:
    """The milliseconds that a turn takes to read the database before its first token, and to store
    itself afterwards, in the median."""
    settings = Settings(state_dir=folder / "encrypted", cache_dir=folder / "cache")
    open_state(settings)
    took: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        stores = {
            how: stack.enter_context(closing(Store(folder / how))) for how in ("plain", "encrypted")
        }
        shelves = {how: AlarmShelf(store, lambda: UTC) for how, store in stores.items()}
        lists = {how: StoredLists(store) for how, store in stores.items()}
        for number in range(count):
            order = list(stores)
            random.Random(number).shuffle(order)
            for how in order:
                began = time.perf_counter()
                shelves[how].all()
                lists[how].names()
                read = time.perf_counter()
                turn = Turn(None, "text", _QUESTION, "It is large.", 1.0, 2.0, None, 3.0)
                stores[how].history.add_turn(turn)
                stored = time.perf_counter()
                each = took.setdefault(how, {"read": [], "store": []})
                each["read"].append(1000 * (read - began))
                each["store"].append(1000 * (stored - read))
    return {
        what: {how: round(statistics.median(each[what]), 3) for how, each in took.items()}
        for what in ("read", "store")
    }


def round_cost(socket: Path, manifest: Path, log: Path) -> dict[str, Any]:
    """What encryption took of a round on `manifest`."""
    list(enroll(socket, manifest, False, 600))
    *_, last = request(socket, {"command": "adapt"}, None)
    pairs = [json.loads(line) for line in log.read_text().splitlines()]
    encryption, whole = (sum(pair[place] for pair in pairs) for place in (0, 1))
    return {
        "outcome": last["outcome"],
        "processes": len(pairs),
        "encryption_seconds": round(encryption, 2),
        "processor_seconds": round(whole, 1),
        "share": round(encryption / whole, 5),
    }


def space(state: Path, cache: Path) -> dict[str, Any]:
    """The bytes of encrypted files, and of what is in them."""
    settings = Settings(state_dir=state, cache_dir=cache)
    protect_state(settings)
    files = [path for path in encrypted_files(settings) if cache not in path.parents]
    encrypted = [path for path in files if key_id_of(path) is not None]
    stored = sum(path.stat().st_size for path in encrypted)
    content = sum(len(read_file(path)) for path in encrypted)
    return {
        "files": len(encrypted),
        "plain_files": len(files) - len(encrypted),
        "stored_bytes": stored,
        "content_bytes": content,
        "more": round(stored / content - 1, 5),
    }


def main() -> int:
    """Run the bench and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=("plain", "encrypted"), help="for the bench itself")
    parser.add_argument("--log", type=Path, help="for the bench itself")
    parser.add_argument("--count", type=int, default=25, help="turns of each pair of daemons")
    parser.add_argument("--pairs", type=int, default=6, help="of daemons")
    given = parser.parse_args()
    if given.serve:
        serve_here(given.serve, given.log)
        return 0
    cache = own_settings().cache_dir
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = speak(folder / "atypical", "atypical")
        found["database"] = database_cost(folder / "database", 400)
        pairs = []
        for number in range(given.pairs):
            order = ("plain", "encrypted") if number % 2 else ("encrypted", "plain")
            with started(order, folder / str(number)) as sockets:
                pairs.append(first_tokens(sockets, rows, given.count))
                if number == given.pairs - 1:
                    manifest = write_rows(folder / "atypical" / "all.jsonl", rows)
                    log = folder / str(number) / "encrypted.log"
                    found["round"] = round_cost(sockets["encrypted"], manifest, log)
        found["first_token"] = {
            what: {
                "later_ms": round(statistics.mean(pair[what]["later_ms"] for pair in pairs), 2),
                "pairs": [pair[what] for pair in pairs],
            }
            for what in ("typed", "spoken")
        }
        found["space"] = space(folder / str(given.pairs - 1) / "encrypted" / "state", cache)
    print(json.dumps(found, indent=1))
    # What the pairs of daemons differ by is more than this, and of either sign.
    later = found["database"]["read"]["encrypted"] - found["database"]["read"]["plain"]
    return 0 if later <= MOST_LATER_MS and found["round"]["share"] <= MOST_LONGER else 1


if __name__ == "__main__":
    sys.exit(main())
