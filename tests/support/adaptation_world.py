"""A `RoundScheduler` in a state folder of its own, with a child that learns nothing: what its tests
share."""

import queue
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from daemon.events.bus import Events
from daemon.serving.moves import Moves
from daemon.training.idle import Board, Snapshot
from daemon.training.memory_guard import MemoryGuard
from daemon.training.rounds import RoundRecord, Rounds
from daemon.training.scheduler import RoundScheduler
from engines.errors import AttuneError
from engines.generations.folder import Generation
from engines.generations.pointers import current, previous, promote
from engines.jobs.messages import AdaptJob
from tests.support.fake_child import DEADLINE_SECONDS, FAKE, eventually, make_job
from tests.support.idle_limits import limits

GOOD = Snapshot(
    board=Board(available_bytes=4 << 30, disk_free_bytes=8 << 30),
    labelled_utterances=300,
    new_utterances=40,
)
NEVER = replace(GOOD, new_utterances=0)


@dataclass
class World:
    """A `RoundScheduler` in a state folder of its own, and everything it told."""

    state: Path
    mode: str = "done"
    seconds_per_step: float = 0.0
    snapshot: Snapshot = NEVER
    records: "queue.Queue[RoundRecord]" = field(default_factory=queue.Queue)
    promoted: list[Generation] = field(default_factory=list)
    unservable: bool = False
    defective: bool = False
    blind: bool = False
    full: bool = False
    note: str = ""
    guard: MemoryGuard | None = None
    events: Events = field(default_factory=Events)
    adaptation: RoundScheduler | None = None

    def start(self, **options: object) -> RoundScheduler:
        make_job(self.state)  # writes the base
        if current(self.state / "generations") is None:
            promote(self.state / "generations", 0)
        rounds = Rounds(
            generations=self.state / "generations",
            jobs=self.state / "jobs",
            limits=limits(retry_seconds=0.0),
            resume_after_seconds=0.0,
            poll_seconds=0.02,
            command=[sys.executable, str(FAKE), self.mode, str(self.seconds_per_step)],
        )
        self.adaptation = RoundScheduler(
            replace(rounds, **options),  # type: ignore[arg-type]
            snapshot=self.look,
            build_job=self.build_job,
            moves=lambda user: Moves(self.state / "generations", self.serve),
            events=self.events,
            record=self.record,
            guard=self.guard,
        )
        self.adaptation.start()
        return self.adaptation

    def look(self) -> Snapshot:
        if self.blind:
            raise AttuneError("/proc/meminfo does not say how much memory is available")
        return self.snapshot

    def record(self, record: RoundRecord) -> None:
        if self.full:
            raise AttuneError("the disk is full")
        self.records.put(record)

    def build_job(self, number: int, parent: int, folder: Path, user: int) -> AdaptJob:
        if self.defective:
            raise ZeroDivisionError("a defect")
        return make_job(self.state).model_copy(
            update={
                "number": number,
                "parent": parent,
                "folder": folder,
                "system_prompt": self.note,
            }
        )

    def serve(self, generation: Generation) -> None:
        if self.unservable and generation.number > 0:
            raise AttuneError("the graph has no such input")
        self.promoted.append(generation)

    def next_record(self) -> RoundRecord:
        return self.records.get(timeout=DEADLINE_SECONDS)

    def pointers(self) -> tuple[int | None, int | None]:
        root = self.state / "generations"
        return tuple(found.number if found else None for found in (current(root), previous(root)))  # type: ignore[return-value]

    def child_pid(self) -> int:
        """Waits until one has begun to work."""
        assert self.adaptation is not None
        adaptation = self.adaptation
        assert eventually(
            lambda: adaptation.status().note.startswith(("step", "from")) and bool(trainers())
        )
        return trainers()[0]


def trainers() -> list[int]:
    """Children of this process that train, not what other tests may have left, such as a resource
    tracker of Python's."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if FAKE.name in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    if world.adaptation is not None:
        world.adaptation.stop()
    assert trainers() == [], "no child outlives its adaptation"
