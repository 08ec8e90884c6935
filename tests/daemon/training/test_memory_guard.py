"""A round kept inside its memory: refused before anything starts, made smaller, models unloaded for
it and back for speech."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.events.learning import AdaptationChanged
from daemon.training.memory_guard import MemoryGuard
from engines.errors import AttuneError
from engines.jobs.footprints import write_footprints
from engines.jobs.messages import AdaptJob, EngineFiles
from tests.daemon.training.test_memory_plan import FOOTPRINTS, MIB
from tests.support.adaptation_world import World, trainers, world
from tests.support.fake_child import DEADLINE_SECONDS, eventually, make_job

__all__ = ["world"]

DAEMON, BARE = 500 * MIB, 100 * MIB


@dataclass
class Machine:
    """Models that are open or not, and what a child takes, by how its job says that it is to be
    run."""

    folder: Path
    budget_mib: int
    may_unload: bool = False
    child_mib: Callable[[], int] = lambda: 300
    left_mib: int = 0
    """By how much the daemon is larger than it was before it ever opened the models."""
    open: bool = True
    happened: list[str] = field(default_factory=list)
    most_bytes: int = 0

    def guard(self) -> MemoryGuard:
        path = self.folder / "footprints.json"
        write_footprints(path, FOOTPRINTS)
        return MemoryGuard(
            self.budget_mib * MIB, self.may_unload, path, BARE, self.unload, self.load, self.measure
        )

    def unload(self) -> None:
        self.open = False
        self.happened.append("unloaded")

    def load(self) -> None:
        self.open = True
        self.happened.append("loaded")

    def measure(self, process: int | None) -> int:
        return (
            (DAEMON if self.open else BARE + self.left_mib * MIB)
            if process is None
            else self.child_mib() * MIB
        )


def test_what_cannot_fit_is_refused_before_anything_starts(world: World, tmp_path: Path) -> None:
    machine = Machine(tmp_path, budget_mib=700, may_unload=True)
    world.guard = machine.guard()
    world.start().run_now()
    record = world.next_record()
    assert record.outcome == "failed"
    assert "of 700 MiB allowed" in record.reason
    assert machine.happened == []
    assert not (world.state / "jobs" / "0001" / "job.json").exists()
    assert not (world.state / "jobs" / "0001" / "child.log").exists(), "no child was started"


def test_a_round_that_takes_more_than_it_may_goes_on_in_more_parts(
    world: World, tmp_path: Path
) -> None:
    job = world.state / "jobs" / "0001" / "job.json"

    def child_mib() -> int:
        works = world.adaptation is not None and world.adaptation.status().note.startswith("step")
        return (
            1000
            if works and AdaptJob.model_validate_json(job.read_bytes()).micro_batches < 4
            else 300
        )

    machine = Machine(tmp_path, budget_mib=1400, child_mib=child_mib)
    world.seconds_per_step, world.guard = 0.02, machine.guard()
    adaptation = world.start(yield_grace_seconds=DEADLINE_SECONDS)
    seen: list[str] = []
    world.events.subscribe(AdaptationChanged, lambda status: seen.append(status.note))
    adaptation.run_now()
    assert world.next_record().outcome == "promoted"
    assert adaptation.status().most_used_bytes == DAEMON + 1000 * MIB
    begun = [note for note in seen if note.startswith("from step")]
    assert len(begun) > 1
    assert begun[-1] != "from step 0", "it went on from its checkpoint"


def test_a_round_that_cannot_be_made_smaller_ends(world: World, tmp_path: Path) -> None:
    machine = Machine(tmp_path, budget_mib=1400, child_mib=lambda: 1000)
    world.seconds_per_step, world.guard = 5.0, machine.guard()
    world.start(yield_grace_seconds=0.01).run_now()
    record = world.next_record()
    assert record.outcome == "cancelled"
    assert "it took 1500 MiB of 1400 MiB allowed" in record.reason


def test_models_make_room_and_come_back_for_speech_and_at_the_end(
    world: World, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, budget_mib=1100, may_unload=True)
    world.seconds_per_step, world.guard = 0.05, machine.guard()
    adaptation = world.start(yield_grace_seconds=DEADLINE_SECONDS, reload_after_seconds=0.2)
    adaptation.run_now()
    world.child_pid()
    assert machine.happened == ["unloaded"]
    adaptation.speech_started()
    assert eventually(lambda: machine.open)
    assert eventually(lambda: adaptation.status().state == "paused")
    assert trainers() == [], "the child has made room"
    adaptation.speech_ended()
    assert world.next_record().outcome == "promoted"
    assert machine.happened == ["unloaded", "loaded", "unloaded", "loaded"]


def test_what_unloading_leaves_behind_counts(tmp_path: Path) -> None:
    """More than was predicted: the plan is made anew, and where nothing fits the models come back
    before anything starts."""
    machine = Machine(tmp_path, budget_mib=1000, may_unload=True)
    guard, job = machine.guard(), make_job(tmp_path)
    made = guard.plan(job)
    assert made.unloads
    assert not made.refusal
    machine.left_mib = 400
    with pytest.raises(AttuneError, match="of 1000 MiB allowed"):
        guard.admit(job)
    assert machine.happened == ["unloaded", "loaded"]
    assert machine.open
    machine.left_mib = 200
    assert guard.admit(job)[0].micro_batches > 1
    assert not machine.open


def test_models_wait_until_the_child_has_made_room(tmp_path: Path) -> None:
    machine = Machine(tmp_path, budget_mib=1100, may_unload=True)
    guard, job = machine.guard(), make_job(tmp_path)
    guard.admit(job)
    waiting = threading.Thread(target=guard.need_models)
    waiting.start()
    waiting.join(0.3)
    assert not machine.open
    guard.make_room()
    waiting.join(DEADLINE_SECONDS)
    assert machine.open


def test_the_plan_rests_on_this_device_where_it_was_measured(tmp_path: Path) -> None:
    machine = Machine(tmp_path, budget_mib=3000)
    guard = machine.guard()
    assert guard.plan(make_job(tmp_path)).measured_here
    (tmp_path / "footprints.json").write_text("{}")
    with pytest.raises(AttuneError, match="calibrate memory"):
        guard.plan(make_job(tmp_path))


def test_the_embedded_default_was_measured_before_it_shipped(
    tmp_path: Path, whisper_folder: Path, llm_path: Path
) -> None:
    machine = Machine(tmp_path, budget_mib=3000)
    guard = machine.guard()
    default = EngineFiles(
        encoder=tmp_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    made = guard.plan(make_job(tmp_path).model_copy(update={"engines": default}))
    assert not made.measured_here, "what was measured here was measured with other models"
    assert 100 * MIB < made.predicted_bytes - DAEMON < 2000 * MIB


def test_a_stage_that_nobody_measured_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path, budget_mib=3000)
    guard = machine.guard()
    less = FOOTPRINTS.model_copy(
        update={"stages": {name: one for name, one in FOOTPRINTS.stages.items() if name != "judge"}}
    )
    write_footprints(tmp_path / "footprints.json", less)
    with pytest.raises(AttuneError, match="`judge`"):
        guard.plan(make_job(tmp_path))
