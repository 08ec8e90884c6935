"""`make bench`: what training costs the person who speaks, and what killing it costs anyone. Prints
JSON; ratios of one run.

1. The same spoken requests, answered while nothing trains and while a round trains: median
   milliseconds to the first token.
2. Somebody speaks while a round trains: milliseconds from the onset, as the listener hears it,
   until the child has no more
   processor time, and until it stands still.
3. The training child killed with SIGKILL at random moments, a request after each; then the next
   round, which must finish.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daemon.client.enrolling import enroll
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.control.server import Message
from tests.bench.world import fresh_state, settings_of, speak, write_rows

ENROLLED = 60
ASKED = 20
PAUSES = 150
TYPED = 40
_WATCHED_SECONDS = 0.4
_NOTHING_NS = 1_000_000


def main() -> None:
    """Run the three parts on a fresh state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="0 leaves the third part out")
    parser.add_argument("--pauses", type=int, default=PAUSES, help="0 leaves the second part out")
    parser.add_argument(
        "--typed",
        type=int,
        default=TYPED,
        help="so many of the second part again, with a request that is typed",
    )
    parser.add_argument("--skip-yield", action="store_true", help="leave the first part out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as name:
        folder = Path(name)
        rows = speak(folder, "atypical")
        manifest = write_rows(folder / "some.jsonl", rows[:ENROLLED])
        questions = [Path(row["audio"]) for row in rows[-ASKED:]]
        environment = settings_of(
            fresh_state(folder / "state"),
            folder / "attune.sock",
            AUDIO__KEEP=False,
            CONVERSATION__FORGET_AFTER_SECONDS=0,
            CONVERSATION__MAX_REPLY_TOKENS=16,
            ADAPT__TRAINING_SECONDS=60,
            ADAPT__REPLY_UTTERANCES=2,
        )
        with private_daemon(environment, folder / "daemon.log"):
            daemon = _Daemon(folder / "attune.sock")
            list(enroll(folder / "attune.sock", manifest, quiet_seconds=600))
            found: dict[str, object] = {}
            if not arguments.skip_yield:
                found["yield"] = _measure_yield(daemon, questions)
            if arguments.pauses:
                found["stopped_ms"] = _measure_stops(
                    daemon, questions, arguments.pauses, arguments.typed
                )
            if arguments.kills:
                found["kills"] = _kill(daemon, questions, arguments.kills)
    print(json.dumps(found, indent=2))


class _Daemon:
    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.outcome: object = None
        """Of the last round that was started; None while it runs."""

    def ask(self, command: Message) -> Iterator[Message]:
        return request(self._socket, command, quiet_seconds=600)

    def first_token_ms(self, question: Path, route: str) -> float:
        """Ask by recording; milliseconds to the first token, or to the end of an empty reply."""
        [turn] = [
            event
            for event in self.ask({"command": "ask", "audio": question, "route": route})
            if event["event"] == "turn"
        ]
        first = turn["first_token_ms"]
        return float(str(turn["reply_ms"] if first is None else first))

    def learning(self) -> Message:
        [status] = self.ask({"command": "status"})
        learning = status["adaptation"]
        assert isinstance(learning, dict)
        return learning

    def start_round(self) -> "threading.Thread":
        """Ask for a round and follow it in a thread, which ends with the round."""

        def follow() -> None:
            for event in self.ask({"command": "adapt"}):
                self.outcome = event.get("outcome")

        self.outcome = None
        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        return thread

    def await_training(self) -> None:
        while self.learning()["stage"] != "train" and self.outcome is None:
            time.sleep(0.1)


def _measure_yield(daemon: _Daemon, questions: list[Path]) -> dict[str, object]:
    found: dict[str, object] = {}
    for route in ("aligned", "cascade"):
        for question in questions[:3]:
            daemon.first_token_ms(question, route)
    idle = {
        route: [daemon.first_token_ms(question, route) for question in questions]
        for route in ("aligned", "cascade")
    }
    daemon.start_round()
    for route, before in idle.items():
        during = []
        for question in questions:
            _await_running(daemon)
            during.append(daemon.first_token_ms(question, route))
        found[route] = {
            "idle_ms": round(statistics.median(before), 1),
            "training_ms": round(statistics.median(during), 1),
            "ratio": round(statistics.median(during) / statistics.median(before), 3),
        }
    return found


def _measure_stops(
    daemon: _Daemon, questions: list[Path], pauses: int, typed: int
) -> dict[str, dict[str, float]]:
    """Requests heard in real time, then ones typed, whose reply begins to be computed at once."""
    if daemon.outcome is not None or daemon.learning()["state"] == "waiting":
        daemon.start_round()
    found = {}
    spoken: list[Message] = [
        {"command": "listen", "audio": question, "speed": 1.0} for question in questions
    ]
    written: list[Message] = [{"command": "ask", "text": "Yes."}]
    for kind, requests, times in (("spoken", spoken, pauses), ("typed", written, typed)):
        if times:
            found[kind] = _stops(
                daemon, [requests[number % len(requests)] for number in range(times)]
            )
    list(daemon.ask({"command": "adapt", "action": "cancel"}))
    while daemon.learning()["state"] != "waiting":
        time.sleep(0.2)
    return found


def _stops(daemon: _Daemon, requests: list[Message]) -> dict[str, float]:
    """Until the child has had all but a millisecond of processor time, as seen from outside; and
    until the kernel says that every thread of it stands still, as the daemon tells.

    Its threads give way to everything, so while a reply is computed some wait long for the moment
    in which they learn that they are stopped; until then they cost nothing.
    """
    took: list[float] = []
    begun = threading.Event()
    threading.Thread(target=_tell_beginnings, args=(daemon, begun), daemon=True).start()
    for asked in requests:
        child = _await_running(daemon)
        begun.clear()
        answer = threading.Thread(target=lambda asked=asked: list(daemon.ask(asked)))
        if "text" in asked:
            begun.set()
        answer.start()
        begun.wait()
        began = time.perf_counter()
        seen = [(0.0, _run_ns(child))]
        while seen[-1][0] < _WATCHED_SECONDS:
            time.sleep(0.0005)
            seen.append((time.perf_counter() - began, _run_ns(child)))
        answer.join()
        took.append(
            1000 * next(seconds for seconds, ran in seen if seen[-1][1] - ran < _NOTHING_NS)
        )
        print(f"stop {len(took)}: {took[-1]:.1f} ms", file=sys.stderr, flush=True)
    told = float(str(daemon.learning()["pause_latency_ms"]))
    took.sort()
    return {
        "pauses": len(took),
        "median": round(statistics.median(took), 2),
        "99th percentile": round(took[int(0.99 * len(took))], 2),
        "most": round(took[-1], 2),
        "99th percentile that the daemon tells, so far": round(told, 2),
    }


def _tell_beginnings(daemon: _Daemon, begun: threading.Event) -> None:
    """Set `begun` at each onset of speech."""
    for event in daemon.ask({"command": "events"}):
        if event["event"] == "speech":
            begun.set()


def _run_ns(process: int) -> int:
    """Nanoseconds of processor time that all threads had; those of a thread that is running count
    when it stops, or at a tick."""
    total = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total


def _await_running(daemon: _Daemon) -> int:
    """The number of the child, once it really runs: paused children resume some seconds after a
    reply."""
    while True:
        learning = daemon.learning()
        if learning["state"] in ("training", "judging") and learning["stage"] == "train":
            time.sleep(random.uniform(0.0, 0.5))
            if children := _children():  # none where the round ended just now
                return children[0]
        if daemon.outcome is not None:
            daemon.start_round()
        time.sleep(0.1)


def _kill(daemon: _Daemon, questions: list[Path], kills: int) -> dict[str, object]:
    answered = 0
    for number in range(kills):
        thread = daemon.start_round()
        time.sleep(random.uniform(0.5, 25.0))
        for process in _children():
            os.kill(process, signal.SIGKILL)
        daemon.first_token_ms(questions[number % len(questions)], "aligned")
        answered += 1
        thread.join(60)
        print(f"kill {number + 1}: answered, round {daemon.outcome}", file=sys.stderr, flush=True)
    thread = daemon.start_round()
    thread.join(900)
    return {
        "kills": kills,
        "answered": answered,
        "next_round": daemon.outcome,
        "reason": daemon.learning()["last_reason"],
    }


def _children() -> list[int]:
    """Processes that run a calibration job of this benchmark's daemon."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            entry.name.isdigit()
            and b"calibration" in command
            and any(b"attune-bench-" in part for part in command)
        ):
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    main()
