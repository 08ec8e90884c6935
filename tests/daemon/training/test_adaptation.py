"""Rounds from an idle window to a verdict, with a real child process: requests, pauses, promotions,
refusals."""

import queue
import threading
from dataclasses import replace

import psutil
import pytest

from daemon.events.learning import AdaptationChanged
from engines.generations.folder import list_generations
from engines.generations.pointers import promote
from tests.support.adaptation_world import GOOD, NEVER, World, world
from tests.support.fake_child import DEADLINE_SECONDS, eventually, state_of

__all__ = ["world"]


def test_an_idle_window_leads_to_a_promotion(world: World) -> None:
    adaptation = world.start()
    assert eventually(lambda: "0 new labelled utterances" in adaptation.status().note)
    world.snapshot = GOOD
    record = world.next_record()
    world.snapshot = NEVER
    assert (record.outcome, record.number, record.generation) == ("promoted", 1, 1)
    assert (
        record.reason
        == "promoted: 10.0 % word error on 10 held-out utterances (current 50.0 %, cascade 60.0 %);"
        " retention set 50.0 % (was 50.0 %)"
    )
    assert record.wall_seconds == 1.5
    assert record.peak_bytes >= 1000
    assert record.started_at <= record.ended_at
    assert [generation.number for generation in world.promoted] == [1]
    assert world.pointers() == (1, 0)
    assert not (world.state / "jobs/0001").exists()
    assert eventually(lambda: adaptation.status().last_outcome == "promoted")


def test_a_round_on_request_can_be_followed(world: World) -> None:
    adaptation = world.start()
    events: queue.Queue[AdaptationChanged] = queue.Queue()
    unsubscribe = world.events.subscribe(AdaptationChanged, events.put)
    adaptation.run_now()
    seen = []
    while (event := events.get(timeout=DEADLINE_SECONDS)).outcome is None:
        seen.append((event.state, event.stage))
    assert event.outcome == "promoted"
    assert event.last_reason == world.next_record().reason
    for step in [
        ("training", "frames"),
        ("training", "train"),
        ("training", "done"),
        ("judging", "done"),
    ]:
        assert step in seen
    unsubscribe()
    adaptation.run_now()
    assert world.next_record().number == 2
    assert events.empty() or all(event.number == 1 for event in list(events.queue))


def test_a_request_that_the_machine_cannot_meet_is_answered(world: World) -> None:
    world.snapshot = replace(NEVER, board=replace(NEVER.board, available_bytes=10_000_000))
    adaptation = world.start()
    events: queue.Queue[AdaptationChanged] = queue.Queue()
    world.events.subscribe(AdaptationChanged, events.put)
    adaptation.run_now()
    while (event := events.get(timeout=DEADLINE_SECONDS)).outcome is None:
        pass
    assert (event.outcome, event.last_reason) == (
        "cancelled",
        "10 MB of memory available, 1500 MB needed",
    )
    assert world.records.empty()


def test_a_worse_candidate_is_refused_and_kept(world: World) -> None:
    world.mode = "worse"
    world.start().run_now()
    record = world.next_record()
    assert (record.outcome, record.generation) == ("refused", 1)
    assert record.reason.startswith("refused: no better for this user: 90.0 %")
    assert world.pointers() == (0, None)
    assert len(list_generations(world.state / "generations")) == 2
    assert world.promoted == []


def test_speech_stops_the_child_at_once_and_silence_lets_it_go_on(world: World) -> None:
    world.seconds_per_step = 0.02
    adaptation = world.start()
    adaptation.run_now()
    pid = world.child_pid()
    adaptation.speech_started()
    assert adaptation.status().state == "paused"
    assert eventually(lambda: adaptation.status().pause_latency_ms is not None)
    assert state_of(pid) == "T"
    note = adaptation.status().note
    with pytest.raises(queue.Empty):
        world.records.get(timeout=0.6)
    assert adaptation.status().note == note
    adaptation.speech_ended()
    assert world.next_record().outcome == "promoted"
    assert adaptation.status().pauses == 1
    latency_ms = adaptation.status().pause_latency_ms
    assert isinstance(latency_ms, float)
    assert latency_ms > 0


def test_a_round_that_starts_while_somebody_speaks_waits(world: World) -> None:
    adaptation = world.start()
    adaptation.speech_started()
    adaptation.run_now()
    assert eventually(lambda: adaptation.status().state == "paused")
    assert world.records.empty()
    adaptation.speech_ended()
    assert world.next_record().outcome == "promoted"


@pytest.mark.parametrize("during", ["work", "pause"])
def test_short_memory_ends_a_round_which_later_goes_on_from_its_checkpoint(
    world: World, during: str
) -> None:
    world.seconds_per_step = 0.05
    adaptation = world.start(grace_seconds=DEADLINE_SECONDS)
    adaptation.run_now()
    world.child_pid()
    assert eventually(lambda: adaptation.status().note.startswith("step"))
    if during == "pause":
        adaptation.speech_started()
    world.snapshot = replace(NEVER, board=replace(NEVER.board, available_bytes=100_000_000))
    record = world.next_record()
    assert (record.outcome, record.reason) == (
        "cancelled",
        "only 100 MB of memory left, 300 MB needed to go on (saved its checkpoint)",
    )
    assert 0 < record.wall_seconds < DEADLINE_SECONDS
    adaptation.speech_ended()
    events: queue.Queue[AdaptationChanged] = queue.Queue()
    world.events.subscribe(AdaptationChanged, events.put)
    world.snapshot = NEVER
    adaptation.run_now()
    assert world.next_record().number == 1
    notes = [event.note for event in list(events.queue)]
    assert next(note for note in notes if note.startswith("from step")) != "from step 0"


def test_cancelled_by_the_user_it_does_not_start_again_at_once(world: World) -> None:
    world.seconds_per_step, world.snapshot = 0.05, GOOD
    adaptation = world.start()
    world.child_pid()
    adaptation.cancel()
    record = world.next_record()
    assert record.outcome == "cancelled"
    assert "cancelled by the user" in record.reason
    assert eventually(lambda: "last round 0 minutes ago, 60 needed" in adaptation.status().note)


def test_another_generation_chosen_while_it_trained_wins(world: World) -> None:
    world.start().run_now()
    world.next_record()
    assert world.adaptation is not None
    world.adaptation.stop()
    world.seconds_per_step = 0.05
    world.start().run_now()
    world.child_pid()
    promote(world.state / "generations", 0)
    record = world.next_record()
    assert (record.outcome, record.reason) == (
        "refused",
        "refused: it was judged against generation 1, but 0 is current now",
    )


def test_stopping_ends_a_paused_child_too(world: World) -> None:
    world.seconds_per_step = 0.05
    adaptation = world.start()
    adaptation.run_now()
    pid = world.child_pid()
    adaptation.speech_started()
    adaptation.stop()
    assert not psutil.pid_exists(pid)
    assert adaptation.status().state == "stopped"
    assert world.next_record().outcome == "cancelled"


def test_pauses_and_resumes_from_another_thread_never_lose_the_child(world: World) -> None:
    world.seconds_per_step = 0.01
    adaptation = world.start()
    over = threading.Event()

    def talk() -> None:
        while not over.wait(0.001):
            adaptation.speech_started()
            adaptation.speech_ended()

    talker = threading.Thread(target=talk)
    talker.start()
    adaptation.run_now()
    outcome = world.next_record().outcome
    over.set()
    talker.join()
    assert outcome == "promoted"
    pauses = adaptation.status().pauses
    assert pauses > 5


def test_nothing_is_told_twice(world: World) -> None:
    adaptation = world.start()
    assert eventually(lambda: "0 new labelled utterances" in adaptation.status().note)
    events: queue.Queue[AdaptationChanged] = queue.Queue()
    world.events.subscribe(AdaptationChanged, events.put)
    with pytest.raises(queue.Empty):
        events.get(timeout=0.2)


def test_a_request_overrules_a_pause_to_its_end(world: World) -> None:
    world.snapshot = replace(GOOD, paused=True)
    world.seconds_per_step = 0.02
    adaptation = world.start()
    assert eventually(lambda: adaptation.status().note == "training is paused by the user")
    adaptation.run_now()
    assert world.next_record().outcome == "promoted"
    assert eventually(lambda: adaptation.status().note == "training is paused by the user")
    assert world.records.empty()
