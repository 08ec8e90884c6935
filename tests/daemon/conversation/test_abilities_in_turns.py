"""Abilities in turns: they answer before the language model does, act once a turn is kept, and take
back what they did if its speech goes on."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.abilities.abilities import Abilities
from daemon.abilities.ability import Ability, Answer, Intent, Request
from daemon.abilities.patience import patient
from engines.errors import AttuneError
from tests.daemon.conversation.test_conversation import last, told
from tests.daemon.conversation.test_early_answers import SEGMENT, Early
from tests.support.fake_child import eventually
from tests.support.fakes import tone

NOW = datetime(2026, 11, 30, 17, 20, tzinfo=UTC)


@dataclass
class Bells:
    """Abilities that note what they do."""

    rung: list[str] = field(default_factory=list)
    fails: bool = False
    hangs: bool = False
    ringing: bool = False
    ended: int = 0
    unheard: list[str] = field(default_factory=list)
    knows_little: bool = False

    def end_ringing(self) -> None:
        self.ended += 1
        self.ringing = False

    def missed(self) -> list[str]:
        told, self.unheard = self.unheard, []
        return told

    def _answer(self, request: Request) -> Answer | None:
        which = request.slots.get("which", "")
        if self.hangs:
            time.sleep(60)
        match request.intent:
            case "ring":

                def act() -> None:
                    if self.fails:
                        raise AttuneError("the rope is torn")
                    self.rung.append(which)

                return Answer(f"The bell of {which} rings.", act, lambda: self.rung.remove(which))
            case "open":
                return Answer("Shall I open it?", if_yes=Answer("It is open.", self._open))
            case "which":
                return Answer("Which one?", completes="ring a tone of")
            case "again":
                return Answer(request.last.reply if request.last else "Nothing.")
            case "forget":
                return Answer("Forgotten.", request.last.forget if request.last else None)
        return None

    def _open(self) -> None:
        self.rung.append("open")

    def abilities(self) -> Abilities:
        bell = Ability(
            name="bell",
            example="ring a tone of 300",
            sentences={
                "ring": ("[ring] a tone of {which}",),
                "open": ("open the tower",),
                "which": ("ring",),
                "again": ("what did you say",),
                "forget": ("forget that",),
            },
            answer=self._answer,
            hands_over=lambda request: (
                (Intent("HassRing", {"name": request.slots["which"]}),)
                if request.intent == "ring"
                else ()
            ),
            about=("bell",),
        )
        return Abilities([patient(bell, 0.3)], lambda: NOW, lambda: self.knows_little, self)


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def house(tmp_path: Path, bells: Bells) -> Iterator[Early]:
    built = Early(tmp_path, abilities=bells.abilities())
    yield built
    built.close()


def say(house: Early, text: str) -> str:
    return str(last(house.conversation.ask(text, "text"))["reply"])


def test_an_ability_answers_and_the_language_model_is_not_asked(house: Early, bells: Bells) -> None:
    turn = last(house.conversation.ask("Ring a tone of 440.", "text"))
    assert (turn["reply"], turn["ability"]) == ("The bell of 440 rings.", "bell")
    assert bells.rung == ["440"]
    assert house.language_model.remembered == []
    assert say(house, "hello") == "0 hello"
    [stored, _] = house.store.history.last_turns(2)
    assert stored.reply == "0 hello"


def test_what_is_done_waits_for_the_end_of_the_turn(house: Early, bells: Bells) -> None:
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    time.sleep(0.3)
    assert bells.rung == []
    assert house.told == []
    house.conversation.keep(turn)
    assert eventually(house.answered)
    assert bells.rung == ["300"]
    assert house.told[-1]["reply"] == "The bell of 300 rings."


def test_a_dropped_turn_does_nothing(house: Early, bells: Bells) -> None:
    before = house.trace()
    turn = house.conversation.hear_early(SEGMENT)
    assert turn is not None
    time.sleep(0.2)
    house.conversation.drop(turn)
    assert eventually(lambda: house.trace() == before)
    assert bells.rung == []


def test_what_was_done_is_taken_back_if_the_speech_goes_on(house: Early, bells: Bells) -> None:
    number = house.conversation.hear(SEGMENT)
    assert eventually(house.answered)
    assert bells.rung == ["300"]
    house.told.clear()
    house.conversation.withdraw(number)
    house.conversation.hear(SEGMENT, replaces=number)
    assert eventually(lambda: house.kinds()[-1:] == ["turn"])
    assert bells.rung == ["300"], "rung once: the first was taken back"


def test_a_question_is_answered_by_yes_or_no(house: Early, bells: Bells) -> None:
    assert say(house, "open the tower") == "Shall I open it?"
    assert bells.rung == []
    assert say(house, "no") == "Then I leave it."
    assert say(house, "yes") == "0 yes", "the question stands no more"
    assert say(house, "open the tower") == "Shall I open it?"
    assert say(house, "yes please") == "It is open."
    assert bells.rung == ["open"]


def test_a_question_for_the_rest_is_completed(house: Early, bells: Bells) -> None:
    assert say(house, "ring") == "Which one?"
    assert say(house, "880") == "The bell of 880 rings."
    assert bells.rung == ["880"]


def test_a_question_does_not_stand_for_ever(house: Early) -> None:
    say(house, "open the tower")
    house.clock.now += 61
    assert say(house, "yes") == "0 yes"


def test_what_fails_costs_one_sentence(house: Early, bells: Bells) -> None:
    bells.fails = True
    assert say(house, "ring a tone of 1") == "That did not work: the rope is torn"
    bells.fails = False
    assert say(house, "ring a tone of 2") == "The bell of 2 rings."


def test_what_hangs_costs_one_sentence(house: Early, bells: Bells) -> None:
    bells.hangs = True
    assert say(house, "ring a tone of 1") == "Sorry, bell does not answer."
    assert say(house, "ring a tone of 1") == "Sorry, bell still does not answer."
    assert say(house, "hello") == "0 hello"


def test_home_assistant_does_what_it_can(house: Early, bells: Bells) -> None:
    turn = last(house.conversation.ask("ring a tone of 5", "network", hands_over=("bell",)))
    assert turn["intents"] == [{"name": "HassRing", "slots": {"name": "5"}}]
    assert bells.rung == []
    turn = last(house.conversation.ask("ring a tone of 5", "network", hands_over=("lights",)))
    assert "intents" not in turn
    assert bells.rung == ["5"]


def test_what_is_about_an_ability_is_never_left_to_the_language_model(house: Early) -> None:
    reply = say(house, "paint the bell in blue")
    assert reply.startswith("I did not understand that.")
    assert house.language_model.remembered == []


def test_the_language_model_is_told_what_is_true_now(tmp_path: Path) -> None:
    built = Early(tmp_path, abilities=Abilities([], lambda: NOW, place="Oslo"))
    say(built, "hello")
    assert built.language_model.facts == (
        "You are in assistant mode: what the user says is answered. You are in Oslo. Today is"
        " Monday, November 30, 2026, and it is 5:20 pm."
    )
    built.close()


@pytest.mark.parametrize("text", ["who built the tower", "call my mother", "is it raining?"])
def test_a_weak_language_model_is_not_asked_for_facts_and_deeds(
    house: Early, bells: Bells, text: str
) -> None:
    assert say(house, text).endswith(text), "a stronger one is"
    bells.knows_little = True
    assert not say(house, text).endswith(text)
    assert say(house, "the roses are in bloom").endswith("the roses are in bloom")
    assert say(house, "good morning") == "Good morning."


def test_stop_ends_what_rings(house: Early, bells: Bells) -> None:
    bells.ringing = True
    assert say(house, "okay") == ""
    assert bells.ended == 1
    assert say(house, "okay") != "", "nothing rings any more"
    assert bells.ended == 1


def test_what_was_missed_is_told_with_the_next_answer_once(house: Early, bells: Bells) -> None:
    bells.unheard = ["You had an alarm at 7 am, and nobody heard it."]
    events = told(house.conversation.ask("ring a tone of 9", "text"))
    assert events[-1]["reply"] == (
        "The bell of 9 rings. You had an alarm at 7 am, and nobody heard it."
    )
    assert "".join(one["text"] for one in events if one["event"] == "token") == events[-1]["reply"]
    assert say(house, "ring a tone of 9") == "The bell of 9 rings."


def test_the_last_turn_can_be_said_again_and_forgotten(house: Early) -> None:
    assert say(house, "what did you say") == "Nothing."
    list(house.conversation.ask(SEGMENT.samples, "file"))
    assert say(house, "what did you say") == "The bell of 300 rings."
    list(house.conversation.ask(tone(2.0, 300), "file"))
    assert house.store.counts().utterances == 2
    assert say(house, "forget that") == "Forgotten."
    assert house.store.counts().utterances == 1


def test_in_other_modes_nothing_is_done(house: Early, bells: Bells) -> None:
    house.conversation.set_mode("repeat")
    assert say(house, "ring a tone of 3") == "ring a tone of 3"
    house.conversation.set_mode("dictate")
    assert say(house, "ring a tone of 3") == ""
    assert bells.rung == []


def test_in_private_nothing_is_kept(tmp_path: Path, bells: Bells) -> None:
    private = [True]
    house = Early(tmp_path, abilities=bells.abilities(), may_keep=lambda: not private[0])
    list(house.conversation.ask(SEGMENT.samples, "file"))
    assert bells.rung == ["300"]
    counts = house.store.counts()
    assert (counts.utterances, counts.turns) == (0, 0)
    private[0] = False
    list(house.conversation.ask(SEGMENT.samples, "file"))
    counts = house.store.counts()
    assert (counts.utterances, counts.turns) == (1, 1)
    house.close()


def test_what_is_forgotten_the_language_model_forgets_too(house: Early) -> None:
    assert say(house, "my secret") == "0 my secret"
    assert say(house, "forget that") == "Forgotten."
    assert house.language_model.remembered == []
    assert [turn.heard for turn in house.store.history.last_turns(5)] == ["forget that"]
