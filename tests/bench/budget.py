"""`make bench-budget`: whether rounds stay inside budgets, and how far predictions of what they
take are off. Prints JSON.

For each budget a fresh daemon enrols, says what a round would take, and runs one; meanwhile the
proportional set size of both processes is sampled 20 times a second. Where models are unloaded for
the round, a request is asked in the middle of it.
"""

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from daemon.client.enrolling import enroll
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.control.server import Message
from engines.device.memory import proportional_bytes
from engines.errors import AttuneError
from tests.bench.world import fresh_state, settings_of, speak, write_rows

BUDGETS_GIB = (1.0, 1.5, 2.0, 3.0)
_SAMPLED_SECONDS = 0.05


@dataclass
class Watch:
    """The most that was seen of a daemon and its children, sampled in a thread until `stop`."""

    daemon: int
    stage: str = "start"
    """Of the round, as far as is known."""
    most_bytes: int = 0
    of_child_bytes: int = 0
    of_stages_bytes: dict[str, int] = field(default_factory=dict)
    """The most of both together in each stage."""
    children: int = 0
    samples: int = 0

    def __post_init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        process, seen = psutil.Process(self.daemon), set()
        while not self._done.wait(_SAMPLED_SECONDS):
            children = [child.pid for child in process.children(recursive=True)]
            seen |= set(children)
            own, theirs = proportional_bytes(self.daemon), sum(map(proportional_bytes, children))
            if own + theirs > self.most_bytes:
                self.most_bytes, self.of_child_bytes = own + theirs, theirs
            self.of_stages_bytes[self.stage] = max(
                self.of_stages_bytes.get(self.stage, 0), own + theirs
            )
            self.children, self.samples = len(seen), self.samples + 1

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def main() -> None:
    """Run a round under each budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--budgets", default=",".join(map(str, BUDGETS_GIB)), help="in GiB, with commas between"
    )
    parser.add_argument("--enrolled", type=int, default=100, help="utterances")
    parser.add_argument("--training-seconds", type=float, default=30.0)
    parser.add_argument(
        "--distil-seconds",
        type=float,
        default=0.0,
        help="of distillation after training; 0 for none",
    )
    parser.add_argument("--no-unload", action="store_true", help="leave budget.unload off")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attune-budget-") as name:
        folder = Path(name)
        rows = speak(folder, "atypical")
        manifest = write_rows(folder / "some.jsonl", rows[: arguments.enrolled])
        question = Path(rows[-1]["audio"])
        how = {
            "ADAPT__TRAINING_SECONDS": arguments.training_seconds,
            "ADAPT__DISTIL_SECONDS": arguments.distil_seconds,
            "BUDGET__UNLOAD": not arguments.no_unload,
        }
        found = [
            _try(folder, float(budget), manifest, question, how)
            for budget in arguments.budgets.split(",")
        ]
    print(json.dumps(found, indent=2))


def _try(
    folder: Path, gib: float, manifest: Path, question: Path, how: dict[str, object]
) -> dict[str, object]:
    budget = round(gib * 2**30)
    socket = folder / f"{gib:g}.sock"
    environment = settings_of(
        fresh_state(folder / f"state-{gib:g}"), socket, BUDGET__BYTES=budget, **how
    )
    with private_daemon(environment, folder / f"daemon-{gib:g}.log") as status:

        def ask(command: Message) -> list[Message]:
            return list(request(socket, command, quiet_seconds=600))

        list(enroll(socket, manifest, quiet_seconds=600))
        ask({"command": "ask", "audio": question, "route": "aligned"})
        [plan] = ask({"command": "adapt", "action": "plan"})
        watch = Watch(status.process)
        last: Message = {}
        spoke_ms = None
        for last in request(socket, {"command": "adapt"}, quiet_seconds=600):
            watch.stage = str(last.get("stage") or watch.stage)
            if watch.stage == "train" and plan["unloads"] and spoke_ms is None:
                began = time.monotonic()
                ask({"command": "ask", "audio": question, "route": "aligned"})
                spoke_ms = round(1000 * (time.monotonic() - began))
        watch.stop()
    log = (folder / f"daemon-{gib:g}.log").read_text(errors="replace")
    opened = [
        float(found) for found in re.findall(r"the models are open again after ([\d.]+) s", log)
    ]
    # as it was run: where models were unloaded the plan is made anew by what they left
    most, predicted = (
        watch.most_bytes,
        int(str(last.get("predicted_bytes") or plan["predicted_bytes"])),
    )
    return {
        "budget_mib": budget >> 20,
        "parts": plan["parts"],
        "unloads": plan["unloads"],
        "refusal": plan["refusal"],
        "outcome": last.get("outcome"),
        "reason": last.get("last_reason"),
        "predicted_mib": predicted >> 20,
        "with_room_mib": int(str(plan["peak_bytes"])) >> 20,
        "most_mib": most >> 20,
        "of_child_mib": watch.of_child_bytes >> 20,
        "of_stages_mib": {stage: size >> 20 for stage, size in watch.of_stages_bytes.items()},
        "planned_mib": {stage["name"]: stage["predicted_bytes"] >> 20 for stage in plan["stages"]},
        "inside": most <= budget,
        "predicted_over_most": round(predicted / most, 3) if most else None,
        "started_processes": watch.children,
        "answered_while_unloaded_ms": spoke_ms,
        "models_opened_again_s": opened,
        "samples": watch.samples,
    }


if __name__ == "__main__":
    try:
        main()
    except AttuneError as error:
        sys.exit(str(error))
