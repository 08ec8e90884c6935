"""Lengths of time and moments as people say them."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.abilities.sentences.plain_request import plain_requests
from daemon.alarms.spoken_times import (
    duration,
    moment,
    said_day,
    said_duration,
    said_moment,
    said_time,
)

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 30, 17, 20, tzinfo=BERLIN)


def plain(text: str) -> str:
    return plain_requests(text)[-1]


@pytest.mark.parametrize(
    ("said", "seconds", "rest"),
    [
        ("five minutes", 300, ""),
        ("5 min", 300, ""),
        ("ten minute pasta", 600, "pasta"),
        ("an hour", 3600, ""),
        ("an hour and a half", 5400, ""),
        ("one and a half hours", 5400, ""),
        ("two and a half minutes", 150, ""),
        ("half an hour", 1800, ""),
        ("a quarter of an hour", 900, ""),
        ("three quarters of an hour", 2700, ""),
        ("one hour and thirty minutes", 5400, ""),
        ("1 hour, 20 minutes and 5 seconds", 4805, ""),
        ("twenty-five minutes", 1500, ""),
        ("a couple of minutes", 120, ""),
        ("ninety seconds", 90, ""),
        ("two days", 172800, ""),
    ],
)
def test_lengths_of_time_are_read(said: str, seconds: int, rest: str) -> None:
    assert duration(plain(said)) == (seconds, rest)


@pytest.mark.parametrize(
    "said", ["", "pasta", "five", "minutes", "a banana", "zero minutes", "5 years"]
)
def test_what_is_no_length_of_time_is_none(said: str) -> None:
    assert duration(plain(said)) is None


def test_a_length_over_a_hundred_hours_is_none() -> None:
    assert duration("101 hours") is None
    assert duration("100 hours") == (360_000, "")


@given(st.integers(1, 100 * 3600))
def test_a_length_that_is_said_is_read_as_the_same(seconds: int) -> None:
    assert duration(plain(said_duration(seconds))) == (seconds, "")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # without am or pm: the next time that the clock shows it
        ("seven", "2026-11-30 19:00"),
        ("at 7", "2026-11-30 19:00"),
        ("half past seven", "2026-11-30 19:30"),
        ("quarter to eight", "2026-11-30 19:45"),
        ("a quarter past six", "2026-11-30 18:15"),
        ("ten past six", "2026-11-30 18:10"),
        ("five to six", "2026-11-30 17:55"),
        ("seven thirty", "2026-11-30 19:30"),
        ("eleven", "2026-11-30 23:00"),
        # one to six are in the afternoon
        ("five", "2026-12-01 17:00"),
        ("seven in the morning", "2026-12-01 07:00"),
        ("7 a.m.", "2026-12-01 07:00"),
        ("7 pm", "2026-11-30 19:00"),
        ("19:30", "2026-11-30 19:30"),
        ("noon", "2026-12-01 12:00"),
        ("midnight", "2026-12-01 00:00"),
        ("half past midnight", "2026-12-01 00:30"),
        ("tonight at nine", "2026-11-30 21:00"),
        ("this evening", "2026-11-30 19:00"),
        ("tomorrow", "2026-12-01 09:00"),
        ("tomorrow morning", "2026-12-01 08:00"),
        ("tomorrow at eight", "2026-12-01 08:00"),
        ("tomorrow at three", "2026-12-01 15:00"),
        ("at eight in the evening tomorrow", "2026-12-01 20:00"),
        ("the day after tomorrow at noon", "2026-12-02 12:00"),
        ("on friday at six pm", "2026-12-04 18:00"),
        ("friday at ten", "2026-12-04 10:00"),
        ("monday at ten", "2026-12-07 10:00"),
        ("monday at 6 pm", "2026-11-30 18:00"),
        ("next monday at nine", "2026-12-07 09:00"),
        ("december 24 at six pm", "2026-12-24 18:00"),
        ("on the 24th of december", "2026-12-24 09:00"),
        ("the third of january at noon", "2027-01-03 12:00"),
        ("in twenty minutes", "2026-11-30 17:40"),
        ("in an hour and a half", "2026-11-30 18:50"),
        ("ten minutes from now", "2026-11-30 17:30"),
    ],
)
def test_moments_are_read(said: str, expected: str) -> None:
    found = moment(plain(said), MONDAY)
    assert found is not None
    assert (f"{found.at:%Y-%m-%d %H:%M}", found.days) == (expected, ())


@pytest.mark.parametrize(
    ("said", "expected", "days"),
    [
        ("every day at seven am", "2026-12-01 07:00", (0, 1, 2, 3, 4, 5, 6)),
        ("every weekday at 6:30 am", "2026-12-01 06:30", (0, 1, 2, 3, 4)),
        ("weekdays at 7 am", "2026-12-01 07:00", (0, 1, 2, 3, 4)),
        ("on weekends at ten am", "2026-12-05 10:00", (5, 6)),
        ("every friday at 8 in the evening", "2026-12-04 20:00", (4,)),
        ("every morning at seven", "2026-12-01 07:00", (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_repeated_moments_are_read(said: str, expected: str, days: tuple[int, ...]) -> None:
    found = moment(plain(said), MONDAY)
    assert found is not None
    assert (f"{found.at:%Y-%m-%d %H:%M}", found.days) == (expected, days)


def test_people_wake_in_the_morning() -> None:
    found = moment("7", MONDAY, morning=True)
    assert found is not None
    assert found.at == datetime(2026, 12, 1, 7, 0)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "banana",
        "25 o'clock",
        "7:75",
        "13 pm",
        "monday banana",
        "in a while",
        "seven bananas",
        "february 31",
        "today at 5 pm",
    ],
)
def test_what_names_no_moment_to_come_is_none(said: str) -> None:
    assert moment(plain(said), MONDAY) is None


@given(st.integers(0, 23), st.integers(0, 59))
def test_a_time_that_is_said_is_read_as_the_same(hour: int, minute: int) -> None:
    at = datetime(2026, 12, 1, hour, minute)
    found = moment(plain(f"tomorrow at {said_time(at)}"), MONDAY)
    assert found is not None
    assert found.at == at


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2035, 1, 1)), st.sampled_from("7 19 5 12 0".split())
)
def test_a_moment_is_always_to_come_and_within_a_day(now: datetime, hour: str) -> None:
    found = moment(f"{hour}:30", now.replace(tzinfo=BERLIN))
    assert found is not None
    assert timedelta(0) < found.at - now <= timedelta(days=1)


@given(st.text(alphabet="abdefhimnoprstuwy 0123456789:'", max_size=40))
def test_nonsense_raises_nothing(said: str) -> None:
    duration(said)
    moment(said, MONDAY)


def test_moments_are_said_as_seen_from_now() -> None:
    now = MONDAY.replace(tzinfo=None)
    assert said_moment(datetime(2026, 11, 30, 19, 30), (), now) == "at 7:30 pm"
    assert said_moment(datetime(2026, 12, 1, 7, 0), (), now) == "tomorrow at 7 am"
    assert said_moment(datetime(2026, 12, 4, 12, 0), (), now) == "on Friday at noon"
    assert said_moment(datetime(2026, 12, 24, 0, 0), (), now) == "on December 24 at midnight"
    assert said_moment(datetime(2026, 12, 1, 7, 5), (0, 2), now) == (
        "every Monday and Wednesday at 7:05 am"
    )
    assert said_day(datetime(2028, 1, 2).date(), now.date()) == "on January 2, 2028"
