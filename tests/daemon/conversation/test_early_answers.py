"""An answer that is begun before the turn has ended: kept, it is there at once; dropped, it leaves
no trace."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.control.server import Message
from daemon.events.event import Event
from engines.errors import AttuneError
from engines.types import Segment
from tests.daemon.conversation.test_conversation import House, loaded
from tests.support.fake_child import eventually
from tests.support.fakes import tone

SEGMENT = Segment(tone(1.0, 300), 0.0, 0.25)


class Early(House):
    """A conversation whose events are noted."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self.told: list[Message] = []
        self.events.subscribe(Event, lambda event: self.told.append(event.message()))

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.told]

    def answered(self) -> bool:
        return bool({"turn", "turn_failed", "turn_withdrawn"} & set(self.kinds()))

    def trace(self) -> tuple[object, ...]:
        """Everything in which a turn could leave a trace."""
        counts = self.store.counts()
        return (
            self.kinds(),
            counts.utterances,
            counts.turns,
            list(self.language_model.remembered),
            self.attention.needed,
            sorted(path.name for path in self.store.audio_folder.iterdir()),
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Early]:
    built = Early(tmp_path)
    yield built
    built.close()


def begun(house: Early) -> bool:
    return house.language_model.began.wait(120)


def test_a_kept_answer_is_told_as_any_other(house: Early) -> None:
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    assert eventually(lambda: bool(house.language_model.remembered))
    assert house.told == []
    number = house.conversation.keep(turn)
    assert number == 1
    assert eventually(house.answered)
    assert house.kinds() == ["heard"] + ["token"] * 5 + ["turn"]
    assert {event["turn"] for event in house.told} == {1}
    answer = house.told[-1]
    assert answer["reply"] == "0 a tone of 300"
    assert answer["first_token_ms"] == 0.0
    assert answer["reply_ms"] >= 0.0
    [stored] = house.store.history.last_turns(5)
    assert stored.heard == "a tone of 300"
    assert house.store.longest_pauses(5) == [0.25]
    assert eventually(lambda: not house.attention.needed)


def test_an_answer_that_is_kept_while_it_is_written_goes_on(house: Early) -> None:
    house.language_model.hold.clear()
    house.language_model.hold_after = 2
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    assert begun(house)
    house.conversation.keep(turn)
    assert eventually(lambda: house.kinds().count("token") == 2)
    house.language_model.hold.set()
    assert eventually(house.answered)
    assert house.told[-1]["reply"] == "0 a tone of 300"


@pytest.mark.parametrize("when", ["waiting", "writing", "written"])
def test_a_dropped_answer_leaves_no_trace(house: Early, when: str) -> None:
    list(house.conversation.ask("before", "text"))
    house.told.clear()
    before = house.trace()
    if when == "waiting":
        with house.lender.lease():  # the thread that answers waits for the models
            turn = house.conversation.hear_early(SEGMENT)
            assert turn is not None
            house.conversation.drop(turn)
    else:
        house.language_model.hold_after = 2
        house.language_model.began.clear()
        if when == "writing":
            house.language_model.hold.clear()
        turn = house.conversation.hear_early(SEGMENT)
        assert turn is not None
        assert begun(house)
        if when == "written":
            assert eventually(lambda: len(house.language_model.remembered) == 2)
        house.conversation.drop(turn)
        house.language_model.hold.set()
    assert eventually(lambda: house.trace() == before), (house.trace(), before)
    assert house.conversation.hear(SEGMENT) == 2, "the numbers of turns have no gap"
    assert eventually(house.answered)
    assert house.told[-1]["reply"] == "1 a tone of 300"


def test_an_answer_that_fails_early_is_silent_and_can_be_given_again(house: Early) -> None:
    class Deaf:
        name = "cascade"

        def hear(self, *_: object) -> None:
            raise AttuneError("the encoder failed")

        def ready(self) -> None:
            pass

    good = loaded("cascade")
    bad = type(good)(Deaf(), good.words_of, None)  # type: ignore[arg-type]
    house.lender.use({"cascade": bad}, "cascade")
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    assert eventually(lambda: not house.attention.needed)
    assert house.told == []
    assert house.conversation.keep(turn) is None
    house.lender.use({"cascade": good}, "cascade")
    assert house.conversation.hear(SEGMENT) == 1
    assert eventually(house.answered)
    assert house.kinds()[-1] == "turn"


def test_where_older_turns_would_be_forgotten_the_reply_waits(
    house: Early, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = house.language_model.reply

    def full(words: Any, tokens: int, step: Any, provisional: bool = False) -> Any:
        if provisional:
            raise AttuneError("older turns would have to be forgotten")
        return reply(words, tokens, step)

    monkeypatch.setattr(house.language_model, "reply", full)
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    time.sleep(0.1)
    assert house.language_model.remembered == []
    house.conversation.keep(turn)
    assert eventually(house.answered)
    assert house.told[-1]["reply"] == "0 a tone of 300"


def test_nothing_is_begun_early_while_something_else_is_answered(house: Early) -> None:
    house.language_model.hold.clear()
    house.conversation.hear(SEGMENT)
    assert begun(house)
    assert house.conversation.hear_early(SEGMENT) is None
    house.language_model.hold.set()
    assert eventually(house.answered)
    house.lender.rest()
    assert eventually(lambda: house.conversation.hear_early(SEGMENT) is None)


def test_a_daemon_that_stops_keeps_nothing_of_it(house: Early) -> None:
    house.language_model.hold.clear()
    assert house.conversation.hear_early(SEGMENT) is not None
    assert begun(house)
    closing = threading.Thread(target=house.conversation.close)
    closing.start()
    house.language_model.hold.set()
    closing.join(120)
    assert not closing.is_alive()
    assert house.told == []
    assert house.store.counts().utterances == 0


# --- turns that are taken back


def wait_for(house: Early, kind: str, number: int) -> None:
    assert eventually(
        lambda: any(e["event"] == kind and e.get("turn") == number for e in house.told)
    ), house.told


@pytest.mark.parametrize("when", ["waiting", "writing", "answered"])
def test_a_turn_whose_speech_goes_on_is_taken_back(house: Early, when: str) -> None:
    list(house.conversation.ask("before", "text"))
    house.told.clear()
    longer = Segment(tone(2.0, 400), 0.0, 0.9)
    if when == "waiting":
        with house.lender.lease():
            first = house.conversation.hear(SEGMENT)
            house.conversation.hear(SEGMENT)  # one more that waits, and stays
            house.conversation.withdraw(first + 1)
            house.conversation.withdraw(first)
    else:
        house.language_model.began.clear()
        if when == "writing":
            house.language_model.hold.clear()
        first = house.conversation.hear(SEGMENT)
        assert begun(house)
        if when == "answered":
            wait_for(house, "turn", first)
            assert house.store.counts().utterances == 1
        house.conversation.withdraw(first)
    second = house.conversation.hear(longer, replaces=first)
    house.language_model.hold.set()
    wait_for(house, "turn", second)
    wait_for(house, "turn_withdrawn", first)
    assert house.told[-1]["reply"] == "1 a tone of 400"
    assert house.language_model.remembered == ["0 before", "1 a tone of 400"]
    assert [turn.heard for turn in house.store.history.last_turns(9)] == ["a tone of 400", "before"]
    counts = house.store.counts()
    assert counts.utterances == 1
    assert len(list(house.store.audio_folder.iterdir())) == 1
    assert house.store.longest_pauses(5) == [0.9]
    assert eventually(lambda: not house.attention.needed)


def test_a_turn_that_the_language_model_did_not_answer_takes_no_other_with_it(
    house: Early,
) -> None:
    list(house.conversation.ask("before", "text"))
    house.conversation.set_mode("repeat")
    first = house.conversation.hear(SEGMENT)
    wait_for(house, "turn", first)
    second = house.conversation.hear(Segment(tone(2.0, 400), 0.0), replaces=first)
    wait_for(house, "turn", second)
    assert house.told[-1]["reply"] == "a tone of 400"
    assert house.language_model.remembered == ["0 before"]
    assert [turn.heard for turn in house.store.history.last_turns(9)] == ["a tone of 400", "before"]


def test_only_the_turn_that_is_meant_is_taken_back(house: Early) -> None:
    first = house.conversation.hear(SEGMENT)
    wait_for(house, "turn", first)
    list(house.conversation.ask("typed in between", "text"))
    third = house.conversation.hear(Segment(tone(1.0, 400), 0.0), replaces=first)
    wait_for(house, "turn", third)
    assert len(house.language_model.remembered) == 3
    assert house.store.counts().turns == 3


def test_a_turn_that_was_kept_early_is_taken_back(house: Early) -> None:
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    first = house.conversation.keep(turn)
    assert first is not None
    wait_for(house, "turn", first)
    house.conversation.withdraw(first)
    joined = house.conversation.hear_early(Segment(tone(2.0, 400), 0.0), replaces=first)
    assert eventually(lambda: joined is not None)
    assert joined is not None
    second = house.conversation.keep(joined)
    assert second == 2
    wait_for(house, "turn", second)
    assert house.kinds().count("turn_withdrawn") == 1
    assert house.language_model.remembered == ["0 a tone of 400"]
