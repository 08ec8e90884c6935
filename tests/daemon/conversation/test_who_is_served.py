"""Turns of several users: whoever speaks is served, and nothing is lost by it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.control.server import Message
from daemon.events.event import Event
from daemon.store.database import DatabaseBusyError
from daemon.users.users import User
from engines.types import Float32, Segment
from tests.daemon.conversation.test_conversation import House
from tests.support.fakes import tone

ANN, BEN = User(1, "Ann", 0.0), User(2, "Ben", 0.0)
DEADLINE_SECONDS = 60.0
BEGINNING, WHOLE = Segment(tone(1.0, 300), 0.0, 0.25), Segment(tone(2.0, 400), 0.0)


@dataclass
class Served:
    """Whose voice it is, as a test wants it."""

    now: User = ANN
    speaks: User | None = None
    named: User | None = None
    problem: Exception | None = None
    while_looking: Callable[[], object] = lambda: None
    switches: list[str] = field(default_factory=list)

    def told_by_voice(self, samples: Float32) -> tuple[User, float] | None:
        self.while_looking()
        if self.problem is not None:
            raise self.problem
        return None if self.speaks in (None, self.now) else (self.speaks, 0.99)

    def switch(self, user: User, by: str = "hand", confidence: float | None = None) -> bool:
        self.now = user
        self.switches.append(user.name)
        return True

    def switch_if_due(self) -> bool:
        user, self.named = self.named, None
        return user is not None and self.switch(user)


@dataclass
class Home:
    house: House
    served: Served
    told: list[Message] = field(default_factory=list)

    def ended(self, count: int) -> list[Message]:
        """Wait until so many turns have ended; returns their last events."""
        last = ("turn", "turn_failed", "turn_withdrawn")
        until = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < until:
            found = [one for one in list(self.told) if one["event"] in last]
            if len(found) >= count:
                return found
            time.sleep(0.01)
        raise AssertionError(f"{count} turns have not ended: {self.told}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    served = Served()
    house = House(tmp_path, served=served)
    with closing(house):
        found = Home(house, served)
        house.events.subscribe(Event, lambda event: found.told.append(event.message()))
        yield found


def test_whoever_speaks_is_served_before_the_turn_is_heard(home: Home) -> None:
    home.served.speaks = BEN
    home.house.conversation.hear(WHOLE)
    assert [one["event"] for one in home.ended(1)] == ["turn"]
    assert home.served.switches == ["Ben"]
    assert home.house.store.rows("SELECT served FROM turns") == [(2,)]
    assert home.house.store.rows("SELECT served FROM utterances") == [(2,)]


def test_a_turn_that_is_kept_while_its_voice_is_looked_at_is_answered(home: Home) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def look() -> None:
        looking.set()
        assert go_on.wait(DEADLINE_SECONDS)

    home.served.speaks, home.served.while_looking = BEN, look
    turn = home.house.conversation.hear_early(BEGINNING)
    assert turn is not None
    assert looking.wait(DEADLINE_SECONDS)
    assert home.house.conversation.keep(turn) is not None
    go_on.set()
    assert [one["event"] for one in home.ended(1)] == ["turn"]
    assert home.served.switches == ["Ben"]


def test_who_has_not_finished_changes_nobody(home: Home) -> None:
    home.served.speaks = BEN
    turn = home.house.conversation.hear_early(BEGINNING)
    assert turn is not None
    until = time.monotonic() + DEADLINE_SECONDS
    while not turn.early.dropped and time.monotonic() < until:  # type: ignore[union-attr]
        time.sleep(0.01)
    assert home.house.conversation.keep(turn) is None, "it is heard again"
    assert home.served.switches == []
    assert home.told == []
    home.house.conversation.hear(BEGINNING)
    assert [one["event"] for one in home.ended(1)] == ["turn"]
    assert home.served.switches == ["Ben"]


def test_a_sentence_that_goes_on_is_of_whoever_began_it(home: Home) -> None:
    number = home.house.conversation.hear(BEGINNING)
    home.ended(1)
    home.served.speaks = BEN
    home.house.conversation.hear(WHOLE, replaces=number)
    assert [one["event"] for one in home.ended(3)] == ["turn", "turn_withdrawn", "turn"]
    counts = home.house.store.counts()
    assert (counts.turns, counts.utterances) == (1, 1), "the half is taken back"
    assert home.served.switches == []


def test_who_was_named_is_served_from_the_next_turn_on(home: Home) -> None:
    number = home.house.conversation.hear(BEGINNING)
    home.ended(1)
    home.served.named = BEN
    home.house.conversation.hear(WHOLE, replaces=number)
    home.ended(3)
    assert home.served.switches == [], "the sentence that named them may still go on"
    home.house.conversation.hear(WHOLE)
    home.ended(4)
    assert home.served.switches == ["Ben"]


@pytest.mark.parametrize("problem", [DatabaseBusyError("another program"), RuntimeError("onnx")])
def test_a_voice_that_cannot_be_told_is_answered_all_the_same(
    home: Home, problem: Exception
) -> None:
    home.served.problem = problem
    home.house.conversation.hear(WHOLE)
    assert [one["event"] for one in home.ended(1)] == ["turn"]
    assert home.served.now is ANN


def test_what_one_said_is_not_the_others_to_hear_of(home: Home) -> None:
    """Nor lost for those who talk elsewhere."""
    conversation = home.house.conversation

    def replied(words: str, where: str, who: User) -> str:
        home.served.named = who
        [*_, last] = conversation.ask(words, "text", conversation=where)
        return str(last.message()["reply"])

    assert replied("one", "kitchen", ANN) == "0 one"
    assert replied("two", "kitchen", ANN) == "1 two"
    assert replied("three", "garden", BEN) == "0 three"
    assert replied("four", "kitchen", ANN) == "2 four", "Ann goes on in the kitchen"
    assert replied("five", "kitchen", BEN) == "0 five"
