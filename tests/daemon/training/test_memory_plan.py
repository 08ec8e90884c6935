"""The plan of a round: what it changes, what it refuses, and that it never lets through what does
not fit."""

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.training.memory_plan import MICRO_BATCHES, Plan, Resident, plan
from engines.jobs.footprints import (
    LONGEST_LEARNT_SECONDS,
    OWN_PER_STEP,
    RECOGNISE_MICRO_BATCHES,
    REPLAYED_PER_STEP,
    Footprint,
    Footprints,
)
from engines.jobs.messages import AdaptJob, DistilRecipe, EngineFiles, Example

MIB = 2**20
EMPTY_SHA256 = sha256(b"").hexdigest()
"""Of the models that tests do without."""
FOOTPRINTS = Footprints(
    machine="a test's",
    measured_at="2026-01-01T00:00:00+00:00",
    encoder_sha256=EMPTY_SHA256,
    language_model_sha256=EMPTY_SHA256,
    frame_width=384,
    replay_seconds=6.0,
    stages={
        "hear": Footprint(beside_bytes=250 * MIB, alone_bytes=300 * MIB, seconds_per_utterance=0.5),
        "recognise": Footprint(beside_bytes=300 * MIB, alone_bytes=330 * MIB),
        "choose": Footprint(beside_bytes=250 * MIB, alone_bytes=300 * MIB),
        "encode": Footprint(beside_bytes=250 * MIB, alone_bytes=300 * MIB),
        "train": Footprint(
            beside_bytes=450 * MIB,
            alone_bytes=480 * MIB,
            bytes_per_position=60_000,
            residual_bytes=5 * MIB,
        ),
        "export": Footprint(beside_bytes=600 * MIB, alone_bytes=620 * MIB, seconds=10),
        "judge": Footprint(beside_bytes=400 * MIB, alone_bytes=600 * MIB, seconds_per_utterance=1),
    },
    answering_bytes=50 * MIB,
    left_bytes=60 * MIB,
)
RESIDENT = Resident(waiting=550 * MIB, answering=50 * MIB, unloaded=140 * MIB)


def job_of(longest_seconds: float, count: int = 100) -> AdaptJob:
    nowhere = Path("nowhere")
    example = Example(
        id="one", audio=nowhere, text="yes", origin="enrolled", seconds=longest_seconds
    )
    return AdaptJob(
        folder=nowhere,
        generations=nowhere,
        number=1,
        parent=0,
        engines=EngineFiles(
            encoder=nowhere,
            encoder_weights=nowhere,
            language_model=nowhere,
            served_language_model=nowhere,
        ),
        features=nowhere,
        examples=[example] * count,
        system_prompt="",
    )


def planned(budget_mib: int, longest_seconds: float = 5.0, may_unload: bool = True) -> Plan:
    return plan(job_of(longest_seconds), FOOTPRINTS, budget_mib * MIB, RESIDENT, may_unload)


def test_where_there_is_room_nothing_is_changed() -> None:
    made = planned(3000)
    assert (made.micro_batches, made.unloads, made.refusal) == (1, False, "")
    assert [stage.name for stage in made.stages] == ["hear", "encode", "train", "export", "judge"]


def test_first_training_is_cut_into_parts_then_models_are_unloaded() -> None:
    long = planned(1500, longest_seconds=20.0)
    assert long.micro_batches > 1
    assert not long.unloads
    assert not long.refusal
    tight = planned(1024, longest_seconds=20.0)
    assert tight.unloads
    assert not tight.refusal


def test_a_refusal_names_the_smallest_change() -> None:
    kept = planned(1024, may_unload=False)
    assert "budget.unload = true" in kept.refusal
    assert "budget.bytes" not in kept.refusal
    small = planned(512)
    assert "budget.bytes = " in small.refusal
    enough = int(small.refusal.split("budget.bytes = ")[1].split()[0])
    again = plan(job_of(5.0), FOOTPRINTS, enough, RESIDENT, may_unload=True)
    assert not again.refusal
    assert plan(job_of(5.0), FOOTPRINTS, enough - 1, RESIDENT, may_unload=True).refusal


@given(
    budget_mib=st.integers(100, 4000),
    longest_seconds=st.floats(0.5, 29.0),
    may_unload=st.booleans(),
    serving_mib=st.integers(200, 1500),
)
def test_what_is_let_through_fits(
    budget_mib: int, longest_seconds: float, may_unload: bool, serving_mib: int
) -> None:
    resident = Resident(waiting=serving_mib * MIB, answering=50 * MIB, unloaded=140 * MIB)
    made = plan(job_of(longest_seconds), FOOTPRINTS, budget_mib * MIB, resident, may_unload)
    assert bool(made.refusal) == (made.peak_bytes > budget_mib * MIB)
    assert made.micro_batches in MICRO_BATCHES
    assert may_unload or not made.unloads
    if not made.refusal:  # nothing easier would have done
        easier = MICRO_BATCHES[: MICRO_BATCHES.index(made.micro_batches)]
        for parts in easier:
            cut = job_of(longest_seconds).model_copy(update={"micro_batches": parts})
            train = FOOTPRINTS.predicted_bytes("train", cut, beside=not made.unloads)
            others = max(stage.peak_bytes for stage in made.stages if stage.name != "train")
            daemon_bytes = (
                resident.unloaded if made.unloads else resident.waiting + resident.answering
            )
            assert max(others, daemon_bytes + 1.05 * train + 5 * MIB) > budget_mib * MIB - MIB


@given(first=st.floats(0.5, 29.0), second=st.floats(0.5, 29.0))
def test_longer_utterances_never_take_less(first: float, second: float) -> None:
    shorter, longer = sorted([first, second])
    sizes = [
        FOOTPRINTS.predicted_bytes("train", job_of(seconds), beside=True)
        for seconds in (shorter, longer)
    ]
    assert sizes[0] <= sizes[1]


@pytest.mark.parametrize("parts", MICRO_BATCHES[1:])
def test_more_parts_take_less(parts: int) -> None:
    whole, cut = (job_of(10.0).model_copy(update={"micro_batches": some}) for some in (1, parts))
    assert FOOTPRINTS.positions("train", cut) < FOOTPRINTS.positions("train", whole)


def test_what_is_held_out_is_never_in_a_step() -> None:
    job = job_of(5.0, count=2)
    held = job.examples[0].model_copy(update={"seconds": 29.0, "holdout": True})
    more = job.model_copy(update={"examples": [*job.examples, held]})
    assert FOOTPRINTS.positions("train", more) == FOOTPRINTS.positions("train", job)
    assert FOOTPRINTS.positions("judge", more) == 29 * 50
    assert FOOTPRINTS.positions("export", more) == 0


def test_distillation_holds_samples_of_what_is_trained_on() -> None:
    job = job_of(5.0)
    assert FOOTPRINTS.positions("distil", job) == 8 * 250
    assert FOOTPRINTS.positions("distil", job.model_copy(update={"micro_batches": 4})) == 2 * 250


def test_an_adapter_of_a_higher_rank_takes_more() -> None:
    distil = Footprint(
        beside_bytes=700 * MIB, alone_bytes=800 * MIB, bytes_per_position=30_000, bytes_per_rank=MIB
    )
    footprints = FOOTPRINTS.model_copy(update={"stages": {**FOOTPRINTS.stages, "distil": distil}})
    low, high = (
        footprints.predicted_bytes(
            "distil",
            job_of(5.0).model_copy(update={"distil": DistilRecipe(seconds=60, rank=rank)}),
            beside=True,
        )
        for rank in (16, 64)
    )
    assert low == 716 * MIB + 30_000 * 8 * 250
    assert high - low == 48 * MIB


def test_a_step_of_micro_batches_keeps_its_gradients() -> None:
    train = FOOTPRINTS.stages["train"].model_copy(update={"micro_batches_bytes": 70.0 * MIB})
    footprints = FOOTPRINTS.model_copy(update={"stages": {**FOOTPRINTS.stages, "train": train}})
    for parts, more in ((1, 0), (2, 70 * MIB), (16, 70 * MIB)):
        job = job_of(5.0).model_copy(update={"micro_batches": parts})
        assert (
            footprints.predicted_bytes("train", job, beside=True)
            - FOOTPRINTS.predicted_bytes("train", job, beside=True)
            == more
        )


def test_the_recogniser_learns_from_what_is_short_enough() -> None:
    longest = LONGEST_LEARNT_SECONDS
    at_once = (OWN_PER_STEP + REPLAYED_PER_STEP) // RECOGNISE_MICRO_BATCHES
    assert FOOTPRINTS.positions("recognise", job_of(longest)) == at_once * round(longest * 50)
    assert FOOTPRINTS.positions("recognise", job_of(longest + 1.0)) == 0, "none is learnt from"
    assert FOOTPRINTS.positions("choose", job_of(29.0)) == 0, "pieces bound its memory"
