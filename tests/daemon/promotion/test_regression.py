"""Whether what is served turned out worse in use: only where corrections say so."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.promotion.regression import chance_of, regression
from daemon.store.records import Use
from engines.audio.recordings import write_flac
from engines.generations.pointers import promote
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Daemon, Start, enroll, folder, start

__all__ = ["folder", "start"]


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ((8, 2), (9, 1), 11011 / 24310),
        ((10, 8), (10, 1), 506 / 184756),
        ((5, 5), (5, 0), 1 / 252),
        ((10, 0), (10, 5), 1.0),
    ],
)
def test_the_chance_is_fishers(
    now: tuple[int, int], before: tuple[int, int], expected: float
) -> None:
    """Counted by hand: the ways to draw so many of the corrected turns, over all ways."""
    assert chance_of(Use(*now), Use(*before)) == pytest.approx(expected, rel=1e-9)


uses = st.integers(0, 120).flatmap(
    lambda turns: st.builds(Use, st.just(turns), st.integers(0, turns))
)


@given(uses, uses)
def test_nothing_gives_way_without_more_corrections(now: Use, before: Use) -> None:
    reason = regression(now, before)
    if reason is not None:
        assert now.corrected / now.turns > before.corrected / before.turns
        assert min(now.turns, before.turns) >= 20
        assert regression(Use(now.turns, now.turns), before) is not None
        assert regression(Use(now.turns, 0), before) is None


def test_what_chance_may_do_is_no_reason() -> None:
    assert regression(Use(20, 5), Use(100, 12)) is None
    assert (
        regression(Use(20, 9), Use(100, 12))
        == "corrections rose: 9 of 20 turns since it is served, 12 of 100 before"
    )
    assert regression(Use(19, 19), Use(100, 1)) is None


def speak(daemon: Daemon, folder: Path, start_hz: int, corrected: int) -> None:
    """Twenty turns, of which some are corrected."""
    for index in range(20):
        write_flac(folder / "said.flac", tone(1.0, start_hz + 20 * index))
        daemon.do("ask", audio=folder / "said.flac", route="aligned")
        if index < corrected:
            daemon.do("correct", text=f"what was said {index}")


@pytest.mark.parametrize("allowed", [True, False])
def test_a_generation_that_is_corrected_more_often_gives_way(
    start: Start, folder: Path, allowed: bool
) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(adapt__roll_back=allowed, idle__enabled=False)
    enroll(daemon, folder)
    promote(folder / "state" / "generations", 0)
    speak(daemon, folder, 300, 2)
    assert daemon.do("adapt")[-1]["outcome"] == "promoted"
    assert daemon.status()["generation"] == 1
    with daemon.app.parts.events.follow() as events:
        speak(daemon, folder, 800, 20)
        told = []
        while not events.empty():
            told.append(events.get().message())
    assert daemon.status()["generation"] == (0 if allowed else 1)
    gave_way = [event["reason"] for event in told if event["event"] == "rolled_back"]
    assert gave_way == (
        [
            "generation 0001 was rolled back: corrections rose: 20 of 20 turns since it is served,"
            " 2 of 20 before"
        ]
        * allowed
    )
    moves = daemon.do("why")[0]["moves"]
    assert isinstance(moves, list)
    assert [move["generation"] for move in moves] == ([0, 1] if allowed else [1])
