"""When alarms are due: through summer time, journeys, clocks that are set and restarts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from daemon.alarms.alarm import Alarm, Now, instant_of, next_time, seconds_left

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")


def utc(year: int, month: int, day: int, hour: int, minute: int) -> float:
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


def test_a_time_of_day_comes_by_the_clock_on_the_wall() -> None:
    assert instant_of(datetime(2026, 7, 1, 7, 0), BERLIN) == utc(2026, 7, 1, 5, 0)
    assert instant_of(datetime(2026, 12, 1, 7, 0), BERLIN) == utc(2026, 12, 1, 6, 0)


def test_a_time_that_summer_time_leaves_out_comes_when_the_clock_jumps() -> None:
    # on 2027-03-28 the clock jumps from 2:00 to 3:00, at 1:00 UTC
    assert instant_of(datetime(2027, 3, 28, 2, 30), BERLIN) == utc(2027, 3, 28, 1, 0)
    assert instant_of(datetime(2027, 3, 28, 3, 0), BERLIN) == utc(2027, 3, 28, 1, 0)


def test_a_time_that_comes_twice_comes_the_first_time() -> None:
    # on 2026-10-25 the clock goes back from 3:00 to 2:00, at 1:00 UTC
    assert instant_of(datetime(2026, 10, 25, 2, 30), BERLIN) == utc(2026, 10, 25, 0, 30)


def test_an_alarm_that_rang_does_not_ring_in_the_hour_that_comes_again() -> None:
    alarm = Alarm(kind="alarm", local_time=datetime(2026, 10, 25, 2, 30), days=tuple(range(7)))
    again = datetime(2026, 10, 25, 2, 31, tzinfo=BERLIN, fold=0)
    assert next_time(alarm, again) == datetime(2026, 10, 26, 2, 30)


def test_an_alarm_rings_at_its_time_where_the_user_is_now() -> None:
    alarm = Alarm(kind="alarm", local_time=datetime(2026, 12, 1, 7, 0))
    now = Now(wall=utc(2026, 11, 30, 20, 0), elapsed=0.0, boot="a", zone=BERLIN)
    assert seconds_left(alarm, now) == 10 * 3600
    assert seconds_left(alarm, replace(now, zone=TOKYO)) == 2 * 3600


def test_a_timer_does_not_care_about_the_wall_clock_while_the_machine_runs() -> None:
    timer = Alarm(kind="timer", seconds=300, due_wall=1_300.0, due_elapsed=350.0, boot="one")
    for wall in (1_000.0, 0.0, 99_999.0):
        now = Now(wall=wall, elapsed=100.0, boot="one", zone=BERLIN)
        assert seconds_left(timer, now) == 250.0


def test_after_a_new_start_a_timer_goes_by_the_wall_clock() -> None:
    timer = Alarm(kind="timer", seconds=300, due_wall=1_300.0, due_elapsed=350.0, boot="one")
    assert seconds_left(timer, Now(wall=1_100.0, elapsed=5.0, boot="two", zone=BERLIN)) == 200.0
    # and where the machine's starts cannot be told apart
    unknown = replace(timer, boot="")
    assert seconds_left(unknown, Now(wall=1_100.0, elapsed=5.0, boot="", zone=BERLIN)) == 200.0


def test_a_paused_timer_keeps_what_is_left() -> None:
    timer = Alarm(kind="timer", seconds=300, due_wall=1_300.0, due_elapsed=350.0, left_seconds=42.0)
    assert seconds_left(timer, Now(wall=9e9, elapsed=9e9, boot="", zone=BERLIN)) == 42.0


def test_an_alarm_on_weekdays_leaves_out_the_weekend() -> None:
    friday = Alarm(kind="alarm", local_time=datetime(2026, 12, 4, 7, 0), days=(0, 1, 2, 3, 4))
    rang = datetime(2026, 12, 4, 7, 0, tzinfo=BERLIN)
    assert next_time(friday, rang) == datetime(2026, 12, 7, 7, 0)


def test_one_that_rings_once_has_no_next_time() -> None:
    once = Alarm(kind="alarm", local_time=datetime(2026, 12, 4, 7, 0))
    assert next_time(once, datetime(2026, 12, 4, 7, 0, tzinfo=BERLIN)) is None


def test_a_clock_that_is_set_back_does_not_make_an_alarm_ring_again_that_day() -> None:
    daily = Alarm(kind="alarm", local_time=datetime(2026, 12, 4, 7, 0), days=tuple(range(7)))
    set_back = datetime(2026, 12, 4, 6, 0, tzinfo=BERLIN)
    assert next_time(daily, set_back) == datetime(2026, 12, 5, 7, 0)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
    ),
)
def test_at_its_instant_the_clock_shows_the_time_or_has_just_jumped_over_it(
    local: datetime, zone: str
) -> None:
    local = local.replace(second=0, microsecond=0)
    instant = instant_of(local, ZoneInfo(zone))
    shown = datetime.fromtimestamp(instant, ZoneInfo(zone)).replace(tzinfo=None)
    before = datetime.fromtimestamp(instant - 1, ZoneInfo(zone)).replace(tzinfo=None)
    assert shown == local or before < local < shown
    assert shown - local <= timedelta(hours=1)
