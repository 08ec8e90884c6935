"""Pauses are left out of the time that a process has run."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.jobs.pause_clock import PauseClock


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_pause_is_no_running_time_and_its_beginning_is_timed() -> None:
    clock = Clock()
    time = PauseClock(clock)
    clock.now += 5
    time.pause(asked_at=7.0)
    assert (time.paused, time.pauses, time.running_seconds) == (True, 1, 5.0)
    clock.now += 60
    assert time.running_seconds == 5.0
    assert time.stands_still(7.25)
    assert not time.stands_still(9.0), "a pause begins once"
    time.resume()
    assert (time.paused, time.latencies) == (False, [0.25])
    clock.now += 2
    assert time.running_seconds == 7.0


def test_what_stands_still_without_a_pause_is_none_of_its() -> None:
    time = PauseClock()
    assert not time.stands_still(1.0)
    time.resume()
    assert (time.pauses, time.latencies, time.paused) == (0, [], False)


@given(
    st.lists(
        st.tuples(st.sampled_from(["pause", "resume", "still"]), st.integers(0, 100)), max_size=30
    )
)
def test_running_and_paused_seconds_are_all_of_the_time(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    time = PauseClock(clock)
    running = 0
    for step, seconds in steps:
        if step == "pause" and not time.paused:
            time.pause(clock.now)
        elif step == "resume":
            time.resume()
        elif step == "still":
            time.stands_still(clock.now)
        running += 0 if time.paused else seconds
        clock.now += seconds
    assert time.running_seconds == running
    assert len(time.latencies) <= time.pauses
