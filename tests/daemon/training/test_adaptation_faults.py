"""Rounds that go wrong: children that die, hang or lie, kills, full disks, damaged generations. The
next round runs."""

import os
import queue
import random
import signal
import time
from contextlib import suppress

import pytest

from daemon.events.learning import AdaptationChanged
from engines.generations.folder import Generation, list_generations
from engines.generations.pointers import promote
from tests.support.adaptation_world import GOOD, NEVER, World, trainers, world
from tests.support.fake_child import eventually
from tests.support.idle_limits import limits

__all__ = ["world"]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("fails", "the examples are empty"),
        ("raises", "RuntimeError: torch is tired"),
        ("dies", "killed by SIGKILL"),
        ("forgets", "ended without writing generation 0001"),
    ],
)
def test_a_child_that_ends_badly_costs_one_line_and_the_next_round_runs(
    world: World, mode: str, reason: str
) -> None:
    world.mode = mode
    adaptation = world.start()
    adaptation.run_now()
    record = world.next_record()
    assert (record.outcome, record.generation) == ("failed", None)
    assert reason in record.reason
    assert "\n" not in record.reason
    assert adaptation.status().consecutive_failures == 1
    adaptation.stop()
    world.mode = "done"
    world.start().run_now()
    assert world.next_record().outcome == "promoted"


def test_a_child_that_hangs_is_ended(world: World) -> None:
    world.mode = "hangs"
    world.start(asleep_limit_seconds=1.5).run_now()
    record = world.next_record()
    assert record.outcome == "failed"
    assert "said nothing for" in record.reason


def test_failures_are_retried_after_a_wait_that_grows(world: World) -> None:
    world.mode, world.snapshot = "fails", GOOD
    adaptation = world.start(limits=limits(retry_seconds=3600.0))
    assert world.next_record().outcome == "failed"
    assert eventually(lambda: "1 failed round in a row" in adaptation.status().note)
    assert "trying again after 3600 s" in adaptation.status().note
    assert world.records.empty()


def test_no_child_can_be_started(world: World) -> None:
    world.start(command=["/no/such/program"]).run_now()
    assert "training could not be started (/no/such/program" in world.next_record().reason


def test_a_defect_ends_neither_the_thread_nor_the_daemon(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    adaptation = world.start()
    caplog.set_level("CRITICAL")
    world.defective = True
    adaptation.run_now()
    assert eventually(lambda: "ZeroDivisionError" in adaptation.status().last_reason)
    world.defective = False
    adaptation.run_now()
    assert world.next_record().outcome == "promoted"


@pytest.mark.parametrize("changed", ["examples", "failures"])
def test_a_checkpoint_is_left_behind(world: World, changed: str) -> None:
    """Where the job is another one, and where the checkpoint may be what makes rounds fail."""
    world.mode = "fails"
    adaptation = world.start()
    for _ in range(3 if changed == "failures" else 1):
        adaptation.run_now()
        world.next_record()
    checkpoint = world.state / "jobs/0001/checkpoint"
    checkpoint.write_text("15")
    world.note = "another" if changed == "examples" else ""
    events: queue.Queue[AdaptationChanged] = queue.Queue()
    world.events.subscribe(AdaptationChanged, events.put)
    adaptation.run_now()
    world.next_record()
    assert "from step 0" in [event.note for event in list(events.queue)]


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_next_round_finishes(world: World, times: int) -> None:
    draw = random.Random(3)
    world.seconds_per_step, world.snapshot = 0.03, NEVER
    adaptation = world.start()
    kills = finished = 0
    while kills < times:
        adaptation.run_now()
        assert eventually(lambda: bool(trainers()))
        time.sleep(draw.uniform(0.0, 0.8))  # the random moment: there is nothing to wait for
        for pid in trainers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        assert adaptation.status().state in ("training", "waiting", "judging", "paused"), (
            "it answers throughout"
        )
        record = world.next_record()
        assert record.outcome in ("failed", "promoted")
        finished += record.outcome == "promoted"
    before = world.pointers()[0]
    adaptation.run_now()
    record = world.next_record()
    assert record.outcome == "promoted"
    assert world.pointers() == (record.number, before)
    assert len(world.promoted) == finished + 1
    assert all(path.name.isdigit() for path in (world.state / "generations").iterdir()), (
        "what killed writers left was swept"
    )
    assert all(
        isinstance(entry, Generation) for entry in list_generations(world.state / "generations")
    )


def test_a_generation_that_was_written_counts_however_its_child_ended(world: World) -> None:
    world.mode = "dies-late"
    world.start().run_now()
    record = world.next_record()
    assert (record.outcome, record.generation) == ("promoted", 1)


def test_a_candidate_that_a_killed_daemon_left_unjudged_is_judged_at_the_next_start(
    world: World,
) -> None:
    world.start().run_now()
    world.next_record()
    assert world.adaptation is not None
    world.adaptation.stop()
    root = world.state / "generations"
    for pointer in ("current", "previous"):
        (world.state / pointer).unlink()
    promote(root, 0)
    (world.state / "jobs/0001").mkdir()
    (world.state / "jobs/0001/job.json").write_text("{}")
    world.start()
    record = world.next_record()
    assert (record.outcome, record.number) == ("promoted", 1)
    assert world.pointers() == (1, 0)
    assert not (world.state / "jobs/0001").exists()


def test_a_promotion_that_cannot_be_served_is_rolled_back(world: World) -> None:
    world.unservable = True
    adaptation = world.start()
    adaptation.run_now()
    record = world.next_record()
    assert record.outcome == "failed"
    assert "cannot be served, so the old one stays: the graph has no such input" in record.reason
    assert world.pointers()[0] == 0
    assert [generation.number for generation in world.promoted] == [0]


def test_without_any_generation_a_round_says_so(world: World) -> None:
    adaptation = world.start()
    (world.state / "generations/0000/card.json").unlink()
    adaptation.run_now()
    record = world.next_record()
    assert record.outcome == "failed"
    assert "to start from" in record.reason
    assert "0000 is damaged" in record.reason


def test_sensors_that_cannot_be_read_forbid_a_round_and_say_so(world: World) -> None:
    adaptation = world.start()
    world.blind = True
    assert eventually(lambda: "/proc/meminfo" in adaptation.status().note)
    world.blind = False
    adaptation.run_now()
    assert world.next_record().outcome == "promoted"


def test_a_round_that_cannot_be_recorded_still_counts(world: World) -> None:
    world.full = True
    adaptation = world.start()
    adaptation.run_now()
    assert eventually(lambda: adaptation.status().last_outcome == "promoted")
    assert world.pointers() == (1, 0)
