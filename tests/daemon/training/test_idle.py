"""The idle policy: each reading can forbid a round by itself, and a worse reading never allows
one."""

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.training.idle import (
    Board,
    Snapshot,
    decide,
    may_go_on,
    may_start,
    retry_wait_seconds,
)
from tests.support.idle_limits import limits

LIMITS = limits()
BOARD = Board(
    available_bytes=4_000_000_000,
    disk_free_bytes=8_000_000_000,
    memory_pressure_percent=0.0,
    temperature_celsius=50.0,
)
GOOD = Snapshot(board=BOARD, labelled_utterances=300, new_utterances=40)

OBSTACLES = [
    ({"paused": True}, {}, "training is paused by the user"),
    ({"speaking": True}, {}, "somebody is speaking"),
    ({"seconds_since_speech": 42.0}, {}, "last speech 42 s ago, 600 s of quiet needed"),
    ({"labelled_utterances": 7}, {}, "7 labelled utterances, 20 needed"),
    ({"new_utterances": 3}, {}, "3 new labelled utterances since the last round, 20 needed"),
    ({"seconds_since_round": 600.0}, {}, "last round 10 minutes ago, 60 needed"),
    (
        {"consecutive_failures": 2, "seconds_since_failure": 30.0},
        {},
        "2 failed rounds in a row, the last 30 s ago; trying again after 120 s",
    ),
    ({}, {"available_bytes": 900_000_000}, "900 MB of memory available, 1500 MB needed"),
    ({}, {"disk_free_bytes": 1_000_000}, "1 MB free on the disk, 500 MB needed"),
    ({}, {"memory_pressure_percent": 35.0}, "memory pressure 35 %, at most 10 % allowed"),
    ({}, {"temperature_celsius": 91.4}, "the board is at 91 °C, at most 80 °C allowed"),
    ({}, {"load_per_core": 9.0}, "load 9.0 per core, at most 4.0 allowed"),
    ({}, {"gpu_load_percent": 80.0}, "the GPU is at 80 %, at most 50 % allowed"),
    ({}, {"on_battery": True}, "running on battery"),
]


def spoiled(readings: dict[str, object], board: dict[str, object]) -> Snapshot:
    return replace(GOOD, **readings, board=replace(GOOD.board, **board))  # type: ignore[arg-type]


def test_runs_when_nothing_stands_in_the_way() -> None:
    decision = decide(GOOD, LIMITS)
    assert decision.run
    assert decision.reason == "quiet, with 40 new labelled utterances of 300"


@pytest.mark.parametrize(("readings", "board", "reason"), OBSTACLES)
def test_each_reading_forbids_a_round_and_says_why(
    readings: dict[str, object], board: dict[str, object], reason: str
) -> None:
    decision = decide(spoiled(readings, board), LIMITS)
    assert not decision.run
    assert decision.reason == reason


@pytest.mark.parametrize(("readings", "board", "reason"), OBSTACLES)
def test_a_person_who_asks_overrules_history_but_not_the_machine(
    readings: dict[str, object], board: dict[str, object], reason: str
) -> None:
    assert may_start(spoiled(readings, board), LIMITS).run == (
        not board or "load_per_core" in board
    )


@pytest.mark.parametrize(
    "field",
    [
        "available_bytes",
        "disk_free_bytes",
        "load_per_core",
        "memory_pressure_percent",
        "temperature_celsius",
    ],
)
def test_a_reading_that_is_no_number_forbids_a_round(field: str) -> None:
    assert not decide(spoiled({}, {field: nan}), LIMITS).run


def test_a_battery_is_fine_where_the_user_says_so() -> None:
    assert decide(spoiled({}, {"on_battery": True}), replace(LIMITS, on_battery=True)).run


def test_a_running_round_bears_what_it_causes_itself_but_not_more() -> None:
    assert may_go_on(
        spoiled(
            {"speaking": True},
            {"available_bytes": 900_000_000, "load_per_core": 9.0, "temperature_celsius": 85.0},
        ),
        LIMITS,
    ).run
    ends: list[tuple[dict[str, object], dict[str, object], str]] = [
        ({"paused": True}, {}, "paused by the user"),
        ({}, {"available_bytes": 200_000_000}, "only 200 MB of memory left"),
        ({}, {"temperature_celsius": 95.0}, "the board is at 95 °C"),
        ({}, {"on_battery": True}, "mains power was lost"),
    ]
    for readings, board, reason in ends:
        decision = may_go_on(spoiled(readings, board), LIMITS)
        assert not decision.run
        assert reason in decision.reason


ages = st.one_of(st.floats(0, 100_000), st.just(inf))
boards = st.builds(
    Board,
    available_bytes=st.integers(0, 4_000_000_000),
    disk_free_bytes=st.integers(0, 2_000_000_000),
    load_per_core=st.floats(0, 8),
    memory_pressure_percent=st.none() | st.floats(0, 100),
    temperature_celsius=st.none() | st.floats(0, 110),
    on_battery=st.booleans(),
)
snapshots = st.builds(
    Snapshot,
    board=boards,
    labelled_utterances=st.integers(0, 60),
    new_utterances=st.integers(0, 60),
    speaking=st.booleans(),
    seconds_since_speech=ages,
    seconds_since_round=ages,
    consecutive_failures=st.integers(0, 80),
    seconds_since_failure=ages,
    paused=st.booleans(),
    in_shadow=st.none() | st.integers(1, 9999),
)
mostly_good = st.one_of(snapshots, st.just(GOOD))


@given(
    snapshot=mostly_good,
    field=st.sampled_from([name for name in Snapshot.__dataclass_fields__ if name != "board"]),
    other=snapshots,
)
def test_a_worse_history_never_turns_a_no_into_a_yes(
    snapshot: Snapshot, field: str, other: Snapshot
) -> None:
    pair = [getattr(snapshot, field), getattr(other, field)]
    higher_is_worse = field in ("speaking", "paused", "consecutive_failures")
    if field == "in_shadow":
        better, worse = sorted(pair, key=lambda number: number is not None)
    else:
        better, worse = sorted(pair, reverse=not higher_is_worse)
    allowed = [decide(replace(snapshot, **{field: value}), LIMITS).run for value in (better, worse)]
    assert allowed[0] or not allowed[1]


@given(snapshot=mostly_good, other=boards, field=st.sampled_from([*Board.__dataclass_fields__]))
def test_a_worse_machine_never_turns_a_no_into_a_yes(
    snapshot: Snapshot, other: Board, field: str
) -> None:
    pair = [getattr(snapshot.board, field), getattr(other, field)]
    if None in pair:
        return
    better, worse = sorted(pair, reverse=field in ("available_bytes", "disk_free_bytes"))
    for rule in (decide, may_start, may_go_on):
        allowed = [
            rule(replace(snapshot, board=replace(snapshot.board, **{field: value})), LIMITS).run
            for value in (better, worse)
        ]
        assert allowed[0] or not allowed[1]


@given(snapshot=snapshots)
def test_the_reason_is_one_line_and_says_something(snapshot: Snapshot) -> None:
    for rule in (decide, may_start, may_go_on):
        reason = rule(snapshot, LIMITS).reason
        assert reason
        assert "\n" not in reason


@given(failures=st.integers(-5, 5000))
def test_waits_grow_with_failures_and_are_bounded(failures: int) -> None:
    wait, next_wait = retry_wait_seconds(failures, LIMITS), retry_wait_seconds(failures + 1, LIMITS)
    assert 0 <= wait <= next_wait <= LIMITS.max_retry_seconds


@pytest.mark.parametrize(
    ("hours", "minute", "run"),
    [
        (None, 0, True),
        ((60, 360), 59, False),
        ((60, 360), 60, True),
        ((60, 360), 359, True),
        ((60, 360), 360, False),
        ((1320, 390), 1319, False),
        ((1320, 390), 1439, True),
        ((1320, 390), 0, True),
        ((1320, 390), 390, False),
    ],
)
def test_rounds_start_by_themselves_in_their_hours(
    hours: tuple[int, int] | None, minute: int, run: bool
) -> None:
    snapshot, limits = replace(GOOD, minute_of_day=minute), replace(LIMITS, hours=hours)
    assert decide(snapshot, limits).run == run
    assert may_start(snapshot, limits).run, "a person may ask at any time"
    assert may_go_on(snapshot, limits).run, "what has begun is not cut off"
    if not run:
        first, last = ("22:00", "06:30") if hours == (1320, 390) else ("01:00", "06:00")
        expected = (
            f"it is {minute // 60:02d}:{minute % 60:02d}, rounds start automatically from {first}"
            f" to {last}"
        )
        assert decide(snapshot, limits).reason == expected


def test_a_round_that_was_asked_for_gives_way_to_load_and_is_not_refused_for_it() -> None:
    busy = spoiled({}, {"load_per_core": 50.0})
    assert may_start(busy, LIMITS).run
    assert may_go_on(busy, LIMITS).run
    assert not decide(busy, LIMITS).run
