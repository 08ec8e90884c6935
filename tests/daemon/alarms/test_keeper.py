"""What rings, when, and for how long: with clocks that the test moves, and processes that end at
any moment."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.alarms.alarm import Alarm
from daemon.alarms.keeper import MOST_LATE_SECONDS, RING_SECONDS, AlarmKeeper
from daemon.alarms.shelf import AlarmShelf
from daemon.events.alarms import AlarmEnded, AlarmRings
from daemon.events.bus import Events
from daemon.events.event import Event
from daemon.store.store import Store
from tests.support.simulated_time import Time

BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class House:
    """A daemon's alarms, without its thread: the test looks at the clocks."""

    folder: Path
    time: Time = field(default_factory=Time)
    busy: bool = False
    zone: ZoneInfo = BERLIN
    rung: list[str] = field(default_factory=list)
    hushed: int = 0
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.store = Store(self.folder, self.time.clocks)
        events = Events()
        events.subscribe(Event, self.told.append)
        self.shelf = AlarmShelf(self.store, lambda: self.zone)
        self.keeper = AlarmKeeper(
            self.shelf, self.store, events, self.rung.append, self._hush, lambda: self.busy
        )

    def _hush(self) -> None:
        self.hushed += 1

    def restarts(self) -> None:
        """The process is killed, and started again."""
        self.store.close()
        self.begin()

    def passes(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            self.time.passes(step)
            self.keeper.tick()

    @property
    def local(self) -> datetime:
        return self.shelf.now().local.replace(tzinfo=None)

    def rings(self) -> list[AlarmRings]:
        return [event for event in self.told if isinstance(event, AlarmRings)]

    def ends(self) -> list[str]:
        return [event.how for event in self.told if isinstance(event, AlarmEnded)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.store.close()


def timer(seconds: float = 60.0, name: str = "") -> Alarm:
    return Alarm(kind="timer", name=name, seconds=seconds)


def test_a_timer_rings_when_its_time_is_over_and_until_it_is_stopped(house: House) -> None:
    house.shelf.add(timer(60, "pasta"))
    house.passes(59)
    assert house.rung == []
    house.passes(20)
    assert set(house.rung) == {"Your pasta timer is over."}
    assert len(house.rung) == 4  # every six seconds
    assert [one.kind for one in house.keeper.end_ringing()] == ["timer"]
    house.passes(60)
    assert len(house.rung) == 4
    assert house.hushed == 1
    assert house.ends() == ["stopped"]
    assert house.shelf.all() == []
    assert house.keeper.missed() == []


def test_one_that_nobody_answers_ends_and_is_told_later_once(house: House) -> None:
    house.shelf.add(timer(60))
    house.passes(60 + RING_SECONDS["timer"] + 5)
    assert house.ends() == ["unanswered"]
    assert not house.keeper.ringing
    (told,) = house.keeper.missed()
    assert told.startswith("Your 1 minute timer was over")
    assert told.endswith("and nobody heard it.")
    assert house.keeper.missed() == []


def test_somebody_who_is_speaking_is_let_finish_for_a_while(house: House) -> None:
    house.busy = True
    house.shelf.add(timer(10))
    house.passes(15)
    assert house.keeper.ringing
    assert house.rung == []
    house.passes(10)
    assert house.rung  # not for ever


def test_what_rings_rings_on_after_a_restart_and_what_was_stopped_does_not(house: House) -> None:
    house.shelf.add(timer(10))
    house.passes(15)
    house.restarts()
    house.keeper.tick()
    assert [(one.resumed, one.late_seconds) for one in house.rings()] == [(False, 0.0), (True, 0.0)]
    house.keeper.end_ringing()
    house.restarts()
    house.passes(30)
    assert len(house.rings()) == 2


def test_a_timer_goes_on_while_the_device_is_off(house: House) -> None:
    house.shelf.add(timer(600))
    house.store.close()
    house.time.reboots(seconds_off=400)
    house.begin()
    house.passes(199)
    assert house.rings() == []
    house.passes(2)
    assert len(house.rings()) == 1


def test_one_that_was_due_a_while_ago_rings_and_says_so(house: House) -> None:
    house.shelf.add(timer(600))
    house.store.close()
    house.time.reboots(seconds_off=600 + 300)
    house.begin()
    house.keeper.tick()
    assert house.rung == ["Your 10 minute timer is over. It was due 5 minutes ago."]


def test_one_that_was_due_long_ago_is_only_told(house: House) -> None:
    house.shelf.add(timer(600))
    house.store.close()
    house.time.reboots(seconds_off=600 + MOST_LATE_SECONDS + 60)
    house.begin()
    house.keeper.tick()
    assert house.rung == []
    assert house.ends() == ["missed"]
    assert len(house.keeper.missed()) == 1


def test_a_wall_clock_that_jumps_moves_no_timer(house: House) -> None:
    house.shelf.add(timer(600))
    house.time.wall += 3600
    house.passes(300)
    house.time.wall -= 2 * 86400
    house.passes(299)
    assert house.rings() == []
    house.passes(2)
    assert len(house.rings()) == 1


def test_an_alarm_follows_the_wall_clock_and_rings_once_if_that_is_set_back(house: House) -> None:
    at = (house.local + timedelta(hours=2)).replace(second=0, microsecond=0)
    house.shelf.add(Alarm(kind="alarm", local_time=at))
    house.time.wall += 2 * 3600 - 60
    house.passes(70)
    assert len(house.rings()) == 1
    house.keeper.end_ringing()
    house.time.wall -= 3600
    house.passes(4000, step=10)
    assert len(house.rings()) == 1


def test_a_daily_alarm_rings_each_day_once(house: House) -> None:
    at = (house.local + timedelta(minutes=5)).replace(second=0, microsecond=0)
    house.shelf.add(Alarm(kind="alarm", local_time=at, days=tuple(range(7))))
    for day in range(1, 4):
        house.passes(3600, step=30)
        house.time.passes(86400 - 3600)
        assert len(house.rings()) == day
    assert len(house.shelf.all()) == 1


def test_an_alarm_that_is_cancelled_while_it_rings_falls_silent(house: House) -> None:
    kept = house.shelf.add(timer(10))
    house.passes(12)
    house.shelf.remove(kept.id)
    count = len(house.rung)
    house.passes(30)
    assert not house.keeper.ringing
    assert house.ends() == ["stopped"]
    assert len(house.rung) == count


def test_one_that_gets_more_time_while_it_rings_falls_silent(house: House) -> None:
    kept = house.shelf.add(timer(10))
    house.passes(12)
    house.shelf.change(house.shelf.begun(kept, 60))
    house.passes(1)
    assert not house.keeper.ringing
    assert house.ends() == ["stopped"], "who opened the microphone for it can close it again"
    house.passes(62)
    assert len(house.rings()) == 2


def test_several_ring_and_one_word_ends_them_all(house: House) -> None:
    house.shelf.add(timer(10, "eggs"))
    house.shelf.add(timer(11, "tea"))
    house.passes(13)
    assert {one.text for one in house.rings()} == {
        "Your eggs timer is over.",
        "Your tea timer is over.",
    }
    assert len(house.keeper.end_ringing()) == 2
    assert house.shelf.all() == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=12))
def test_however_often_the_process_is_killed_a_timer_rings_once(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    house.shelf.add(timer(60))
    for seconds in kills:
        house.passes(seconds)
        house.restarts()
    house.passes(200)
    assert [one.resumed for one in house.rings()][:1] == [False]
    assert sum(not one.resumed for one in house.rings()) == 1
    assert house.ends() == ["unanswered"]
    assert house.rung
    house.store.close()
