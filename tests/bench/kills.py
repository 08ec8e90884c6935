"""`make kills`: nothing is lost, whatever is killed and whenever. Prints JSON; exits with 1 where
something was.

1. The training child, killed with SIGKILL at random moments of real rounds; then the round must
   finish.
2. The daemon, killed at random moments while it enrols, answers, is corrected and trains.
3. Power cuts, imitated: the daemon is killed, and every file below the state folder is cut to what
   it was when it was last
   flushed, or to nothing. What is flushed is noted by `flush_log.c`, which is compiled on the spot.

After each: what was acknowledged (utterances, labels, turns) is there, every generation that was
there can be read, `current` loads, the database is whole, and a request is answered.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil

from daemon.client.enrolling import enroll
from daemon.client.socket_client import NoDaemonError, request
from daemon.control.server import Message
from daemon.events.enrolment import Enrolled
from engines.errors import AttuneError
from engines.generations.folder import Generation, list_generations
from engines.generations.pointers import usable
from tests.bench.world import Rows, fresh_state, settings_of, speak, write_rows
from tests.support.database import connect
from tests.support.places import SUPPORT

ENROLLED = 40
_START_SECONDS = 120.0
_LAST_STAGES = ("export", "judge")
_CHILD_SECONDS, _LONG_CHILD_SECONDS, _DAEMON_SECONDS = 8.0, 60.0, 5.0
"""Longest lives: of a child from its start; of one in four, so that later stages are reached; of a
daemon from its first answer."""


@dataclass
class Acknowledged:
    """What a daemon said it keeps."""

    utterances: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """Corrections that were asked for: one may have been made though nobody lived to say so."""
    turns: set[int] = field(default_factory=set)
    generations: set[int] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    """What was found missing, one line each."""


@dataclass
class Home:
    """A daemon on a state of its own, started again and again."""

    folder: Path
    shim: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None
    kept: Acknowledged = field(default_factory=Acknowledged)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def flushes(self) -> Path:
        return self.folder / "flushes"

    def start(self) -> None:
        given = settings_of(
            self.state,
            self.folder / "a.sock",
            CONVERSATION__MAX_REPLY_TOKENS=4,
            ADAPT__TRAINING_SECONDS=5,
            ADAPT__REPLY_UTTERANCES=1,
            BUDGET__BYTES=2**50,
        )
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("ATTUNE__")
        }
        environment |= {f"ATTUNE__{key}": value for key, value in given.items()}
        if self.shim is not None:
            environment |= {"LD_PRELOAD": str(self.shim), "ATTUNE_FLUSH_LOG": str(self.flushes)}
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon.cli", "serve"],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(NoDaemonError, AttuneError):
                list(self.ask({"command": "status"}))
                return
            time.sleep(0.1)
        raise AttuneError(f"the daemon did not start again; {self.folder / 'daemon.log'} says why")

    def kill(self) -> None:
        """End the daemon, where one runs, and wait for the child that dies with it."""
        if self.process is None:
            return
        children = self._children() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(children, timeout=_START_SECONDS)

    def ask(self, command: Message) -> Iterator[Message]:
        return request(self.folder / "a.sock", command, quiet_seconds=120)

    def child(self) -> int | None:
        children = self._children()
        return children[0].pid if children else None

    def _children(self) -> list[psutil.Process]:
        assert self.process is not None
        with suppress(psutil.Error):
            return list(psutil.Process(self.process.pid).children())
        return []

    def check(self, when: str) -> None:
        """Compare what is there with what was acknowledged."""
        kept = self.kept
        with connect(self.state / "attune.db", read_only=True) as database:
            [whole] = database.execute("PRAGMA integrity_check").fetchone()
            utterances = {
                row[0]: row[1] for row in database.execute("SELECT id, audio FROM utterances")
            }
            labels = dict(database.execute("SELECT utterance, text FROM chosen_labels"))
            turns = {row[0] for row in database.execute("SELECT id FROM turns")}
        if whole != "ok":
            kept.lost.append(f"{when}: the database is damaged: {whole}")
        missing = [
            name
            for name in kept.utterances
            if not (self.state / "audio" / utterances.get(name, "none")).is_file()
        ]
        kept.lost += [f"{when}: utterance {name} is lost" for name in missing]
        kept.lost += [
            f"{when}: the label of {name} is lost"
            for name, text in kept.labels.items()
            if labels.get(name) not in {text, *kept.asked}
        ]
        kept.lost += [f"{when}: turn {turn} is lost" for turn in kept.turns - turns]
        there = {
            found.number
            for found in list_generations(self.state / "generations")
            if isinstance(found, Generation)
        }
        kept.lost += [f"{when}: generation {number} is lost" for number in kept.generations - there]
        kept.generations |= there
        if usable(self.state / "generations")[1]:
            kept.lost.append(f"{when}: {usable(self.state / 'generations')[1][0]}")


def main() -> None:
    """Run the three parts on fresh states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=200)
    parser.add_argument("--daemons", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    # Through `_home`, which leaves no daemon behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with tempfile.TemporaryDirectory(prefix="attune-kills-") as name:
        folder = Path(name)
        rows = speak(folder, "atypical")
        found: dict[str, dict[str, object]] = {}
        if arguments.children:
            with _home(folder / "c") as home:
                found["children"] = _kill_children(home, rows, arguments.children)
        if arguments.daemons:
            with _home(folder / "d") as home:
                found["daemons"] = _kill_daemons(home, rows, arguments.daemons, cuts=False)
        if arguments.cuts:
            with _home(folder / "p", _compiled(folder)) as home:
                found["cuts"] = _kill_daemons(home, rows, arguments.cuts, cuts=True)
    print(json.dumps(found, indent=2))
    sys.exit(any(part["lost"] or not part["finished"] for part in found.values()))


@contextmanager
def _home(folder: Path, shim: Path | None = None) -> Iterator[Home]:
    """No daemon is left of it, however it is left."""
    fresh_state(folder / "state")
    home = Home(folder, shim)
    try:
        yield home
    finally:
        home.kill()


def _compiled(folder: Path) -> Path:
    shim = folder / "flush_log.so"
    source = SUPPORT / "flush_log.c"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O2", "-o", str(shim), str(source), "-ldl"], check=True
    )
    return shim


def _enrol(home: Home, rows: Rows, name: str) -> None:
    """Enrol `rows`, noting each as it is acknowledged."""
    manifest = write_rows(home.folder / f"{name}.jsonl", rows)
    for event in enroll(home.folder / "a.sock", manifest, quiet_seconds=120):
        if isinstance(event, Enrolled):
            home.kept.utterances.add(event.utterance)
            home.kept.labels[event.utterance] = str(rows[event.row - 1]["text"])


def _follow(home: Home, ended: list[object]) -> threading.Thread:
    def follow() -> None:
        with suppress(AttuneError, NoDaemonError, OSError):
            for event in home.ask({"command": "adapt"}):
                if "outcome" in event:
                    ended.append(event["outcome"])

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread


def _kill_children(home: Home, rows: Rows, kills: int) -> dict[str, object]:
    home.start()
    _enrol(home, rows[:ENROLLED], "all")
    killed, rounds, answered, stages, more = 0, 0, 0, dict[str, int](), cycle(rows[ENROLLED:])
    while killed < kills:
        ended: list[object] = []
        thread = _follow(home, ended)
        while home.child() is None and thread.is_alive():
            time.sleep(0.02)
        thread.join(
            random.uniform(0.0, _LONG_CHILD_SECONDS if random.random() < 0.25 else _CHILD_SECONDS)
        )
        child = home.child()
        if child is not None:
            [status] = home.ask({"command": "status"})
            learning = status["adaptation"]
            stage = str(learning["stage"]) if isinstance(learning, dict) else ""
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                killed += 1
                stages[stage] = stages.get(stage, 0) + 1
            thread.join(_START_SECONDS)
            # Another utterance makes another job; else all kills fall on the end of this one.
            if stage in _LAST_STAGES:
                _enrol(home, [next(more)], "one-more")
        thread.join(_START_SECONDS)
        rounds += any(outcome in ("promoted", "refused") for outcome in ended)
        turn = list(home.ask({"command": "ask", "audio": Path(rows[-1]["audio"])}))[-1]
        answered += turn["event"] == "turn"
        home.check(f"kill {killed}")
        print(
            f"{killed} of {kills} children killed in {stages}, {rounds} rounds finished,"
            f" {home.kept.lost}",
            file=sys.stderr,
        )
    finished = _finish(home)
    return {
        "killed": killed,
        "in": stages,
        "answered": answered,
        "rounds": rounds,
        "finished": finished,
        "lost": home.kept.lost,
    }


def _finish(home: Home) -> bool:
    ended: list[object] = []
    _follow(home, ended).join(600)
    home.check("at the end")
    return bool(ended) and ended[-1] in ("promoted", "refused")


def _kill_daemons(home: Home, rows: Rows, kills: int, cuts: bool) -> dict[str, object]:
    home.start()
    _enrol(home, rows[:24], "first")
    rest = rows[24:-1]
    for number in range(kills):
        ended: list[object] = []
        _follow(home, ended)
        worker = threading.Thread(
            target=_busy, args=(home, rest[number % len(rest) :][:3], number), daemon=True
        )
        worker.start()
        time.sleep(random.uniform(0.0, _DAEMON_SECONDS))
        home.kill()
        worker.join(_START_SECONDS)
        if cuts:
            _cut(home)
        home.start()
        home.check(f"{'cut' if cuts else 'kill'} {number + 1}")
        print(
            f"{number + 1} of {kills} daemons {'cut off' if cuts else 'killed'}, {home.kept.lost}",
            file=sys.stderr,
        )
    finished = _finish(home)
    kept = home.kept
    told = {
        "utterances": len(kept.utterances),
        "labels": len(kept.labels),
        "turns": len(kept.turns),
    }
    return {"killed": kills, "acknowledged": told, "finished": finished, "lost": kept.lost}


def _busy(home: Home, rows: Rows, number: int) -> None:
    """Enrol, ask and correct until the daemon is gone."""
    with suppress(AttuneError, NoDaemonError, OSError):
        while True:
            _enrol(home, rows, f"more-{number}")
            for event in home.ask({"command": "ask", "audio": Path(rows[0]["audio"])}):
                if event["event"] == "turn" and event.get("id") is not None:
                    home.kept.turns.add(int(str(event["id"])))
                    if event.get("utterance"):
                        home.kept.utterances.add(str(event["utterance"]))
            text = f"correction {number} {random.random()}"
            home.kept.asked.add(text)
            for event in home.ask({"command": "correct", "text": text}):
                home.kept.labels[str(event["utterance"])] = text


def _cut(home: Home) -> None:
    """Leave of every file what was flushed last."""
    flushed: dict[int, int] = {}
    for line in home.flushes.read_text().splitlines():
        inode, _, length = line.partition(" ")
        flushed[int(inode)] = int(length)
    base = home.state / "generations" / "0000"  # copied there before any daemon ran
    for path in home.state.rglob("*"):
        if path.is_symlink() or not path.is_file() or base in path.parents:
            continue
        about = path.stat()
        if (size := flushed.get(about.st_ino, 0)) < about.st_size:
            os.truncate(path, size)


if __name__ == "__main__":
    try:
        main()
    except AttuneError as error:
        sys.exit(str(error))
