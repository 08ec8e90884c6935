"""What follows from what was heard: the rule alone, without models and threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.conversation.dialogue import (
    QUESTION_STANDS_SECONDS,
    Answer,
    AskAgain,
    AskBack,
    Doubted,
    FallSilent,
    Mode,
    Move,
    Repeat,
    SayNothing,
    Switch,
    WriteDown,
    decide,
)
from engines.types import SoftTokens, Transcript

DOUBTED = Doubted("utterance", "Call Ann.")


def soft(count: int = 3, sure: bool = True) -> SoftTokens:
    return SoftTokens(np.zeros((count, 8), np.float32), float(count), sure=sure)


def said(text: str) -> Transcript:
    return Transcript(text)


def move(
    heard: Transcript | SoftTokens,
    words: str = "call ann",
    asks_back: bool = True,
    doubted: Doubted | None = None,
    quiet_seconds: float = 1.0,
    mode: Mode = "assistant",
    before: Doubted | None = None,
    typed: bool = False,
) -> Move:
    return decide(
        heard,
        words,
        asks_back=asks_back,
        doubted=doubted,
        quiet_seconds=quiet_seconds,
        mode=mode,
        before=before,
        typed=typed,
    )


def test_what_is_sure_is_answered() -> None:
    heard = soft()
    assert move(heard) == Answer(heard)
    assert move(said("call ann")) == Answer(said("call ann"))


def test_what_is_in_doubt_is_asked_about_only_where_the_route_asks() -> None:
    heard = soft(sure=False)
    assert move(heard) == AskBack("call ann")
    assert move(heard, asks_back=False) == Answer(heard)
    unsure = Transcript("call ann", confidence=0.2, sure=False)
    assert move(unsure) == AskBack("call ann")
    assert move(unsure, asks_back=False) == Answer(unsure)
    assert move(said("call ann")) == Answer(said("call ann")), "typed words are in no doubt"


def test_nothing_follows_where_nothing_was_understood() -> None:
    assert move(soft(count=0), words="") == SayNothing()
    assert move(said("  "), words="  ") == SayNothing()
    assert move(soft(sure=False), words=" ") == SayNothing(), "there is nothing to ask about"


@pytest.mark.parametrize("words", ["Yes.", "that's right", "yeah", "YES, please!"])
def test_a_yes_answers_what_was_asked_about(words: str) -> None:
    assert move(soft(), words, doubted=DOUBTED) == Answer(said("Call Ann."), confirmed=DOUBTED)
    assert move(soft(sure=False), words, doubted=DOUBTED) == Answer(said("Call Ann."), DOUBTED), (
        "also where the yes itself is in doubt"
    )


@pytest.mark.parametrize("words", ["No!", "nope", "that's wrong"])
def test_a_no_asks_for_it_again(words: str) -> None:
    assert move(said(words), words, doubted=DOUBTED) == AskAgain()


@pytest.mark.parametrize("words", ["yes", "no"])
def test_a_yes_or_no_answers_nothing_without_a_question_that_stands(words: str) -> None:
    assert move(said(words), words) == Answer(said(words))
    late = move(said(words), words, doubted=DOUBTED, quiet_seconds=QUESTION_STANDS_SECONDS)
    assert late == Answer(said(words))


@given(
    words=st.text(max_size=20),
    count=st.integers(0, 3),
    sure=st.booleans(),
    asks_back=st.booleans(),
    asked=st.booleans(),
    quiet_seconds=st.floats(0, 1000),
)
def test_whatever_was_heard_it_is_never_asked_about_without_words(
    words: str, count: int, sure: bool, asks_back: bool, asked: bool, quiet_seconds: float
) -> None:
    found = move(soft(count, sure), words, asks_back, DOUBTED if asked else None, quiet_seconds)
    match found:
        case AskBack(words=about):
            assert about.strip()
            assert asks_back
            assert not sure
        case Answer(confirmed=confirmed):
            assert confirmed is None or asked
        case AskAgain():
            assert asked
        case SayNothing():
            assert not count or not words.strip()


def test_in_repeat_mode_the_words_are_said_again_and_doubt_asks_first() -> None:
    assert move(said("call ann"), mode="repeat") == Repeat("call ann")
    unsure = Transcript("call ann", confidence=0.2, sure=False)
    assert move(unsure, asks_back=False, mode="repeat") == AskBack("call ann")
    yes = move(said("Yes."), "Yes.", doubted=DOUBTED, mode="repeat")
    assert yes == Repeat("Call Ann.", DOUBTED)
    assert move(said("No."), "No.", doubted=DOUBTED, mode="repeat") == AskAgain()
    assert move(said(" "), " ", mode="repeat") == SayNothing()


def test_in_dictate_mode_words_are_only_written_sure_or_not() -> None:
    assert move(said("call ann"), mode="dictate") == WriteDown()
    unsure = Transcript("call ann", confidence=0.2, sure=False)
    assert move(unsure, mode="dictate") == WriteDown()
    assert move(said("yes"), "yes", doubted=DOUBTED, mode="dictate") == WriteDown()
    assert move(said(" "), " ", mode="dictate") == SayNothing()


@pytest.mark.parametrize("mode", ["assistant", "repeat", "dictate"])
def test_modes_change_by_voice_from_every_mode(mode: Mode) -> None:
    assert move(said(""), "Repeat after me.", mode=mode) == Switch("repeat")
    assert move(said(""), "Start dictation!", mode=mode) == Switch("dictate")
    assert move(said(""), "stop repeating", mode=mode) == Switch("assistant")
    assert move(said(""), "Stop.", mode=mode) == FallSilent()
    assert move(said("x"), "do not stop the music", mode=mode) not in (FallSilent(),)


BEFORE = Doubted("before", "call Dan")
SURE = Transcript("x", confidence=0.95)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("No, I said call Ann.", "call Ann."),
        ("no i said call ann", "call ann"),
        ("I said: call Ann!", "call Ann!"),
        ("I meant call Ann", "call Ann"),
        ("Not that, I said call Ann.", "call Ann."),
        ("No. What I said was call Ann.", "call Ann."),
        ("No, I said to call Ann.", "to call Ann."),
    ],
)
def test_what_was_really_said_is_answered_and_confirmed(words: str, meant: str) -> None:
    wanted = Answer(Transcript(meant), Doubted("before", meant), corrects=True)
    assert move(SURE, words, before=BEFORE) == wanted
    assert move(said(words), words, before=BEFORE, typed=True) == wanted
    # The question that was asked last is what is corrected.
    asked = Doubted("asked", "call Dan")
    assert move(SURE, words, before=BEFORE, doubted=asked) == Answer(
        Transcript(meant), Doubted("asked", meant), corrects=True
    )


@pytest.mark.parametrize(
    "words",
    [
        "I said to my mother that she should call Ann.",
        "I said it was raining",
        "No, I said",
        "I said so.",
        "what did I say",
        "he said call Ann",
        "I say call Ann",
    ],
)
def test_who_tells_what_they_said_corrects_nothing(words: str) -> None:
    assert move(SURE, words, before=BEFORE) == Answer(SURE)


def test_a_correction_that_is_not_certain_is_asked_about_first() -> None:
    words = "No, I said call Ann."
    unsure = Transcript("x", confidence=0.2, sure=False)
    for heard in (soft(), soft(sure=False), said(words), unsure):
        assert move(heard, words, before=BEFORE) == AskBack("call Ann.", corrects=BEFORE)


def test_only_a_correction_of_all_of_it_becomes_a_label() -> None:
    before = Doubted("before", "set a timer for fifty minutes")
    assert move(SURE, "No, I said fifteen minutes.", before=before) == Answer(
        Transcript("fifteen minutes."), None, corrects=True
    )
    whole = "set a timer for fifteen minutes"
    assert move(SURE, f"no I said {whole}", before=before) == Answer(
        Transcript(whole), Doubted("before", whole), corrects=True
    )


def test_a_correction_needs_something_to_correct_that_was_said_just_now() -> None:
    words = "No, I said call Ann."
    assert move(SURE, words) == Answer(SURE)
    late = QUESTION_STANDS_SECONDS + 1
    assert move(SURE, words, before=BEFORE, quiet_seconds=late) == Answer(SURE)
