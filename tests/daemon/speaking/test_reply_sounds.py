"""Short sounds tell that Attune listens, works, or understood nothing."""

import queue
import time
from typing import Any

import pytest

from daemon.events.bus import Events
from daemon.events.turns import (
    ReplyPiece,
    SpeechBegan,
    SpeechEnded,
    TurnAnswered,
    TurnFailed,
    TurnWithdrawn,
)
from daemon.events.wake import Called
from daemon.speaking import replies
from daemon.speaking.replies import say_replies
from daemon.speaking.speaker import Speech

PATIENCE_SECONDS = 120
MIC = {"source": "microphone"}


class Speaker:
    """Notes the sounds that it is to play."""

    def __init__(self) -> None:
        self.played: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.speaking = False

    def wake(self) -> None:
        pass

    def play(self, name: str) -> None:
        self.played.put(name)

    def begin(self, ended: Any) -> Speech:
        return Speech(ended)


class World:
    def __init__(self, **options: bool) -> None:
        self.events, self.speaker = Events(), Speaker()
        speaker: Any = self.speaker
        self.end = say_replies(self.events, speaker, **{"sounds": True, **options})

    def next(self) -> str:
        return self.speaker.played.get(timeout=PATIENCE_SECONDS)

    @property
    def quiet(self) -> bool:
        return self.speaker.played.empty()


def answered(turn: int, heard: str = "hello") -> TurnAnswered:
    return TurnAnswered(
        turn=turn, id=1, utterance=None, route="cascade", heard=heard, reply="",
        first_token_ms=None, reply_ms=1.0, generation=None, interrupted=False, confidence=None,
        sure=True, asked_back=False, **MIC,
    )  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "WORKING_SECONDS", 0.02)


def test_listening_is_told_where_speech_begins_or_after_a_call() -> None:
    world = World()
    world.events.publish(SpeechBegan())
    assert world.next() == "listening"
    called = World(called_first=True)
    called.events.publish(SpeechBegan())
    assert called.quiet
    called.events.publish(Called(by="own"))
    assert called.next() == "listening"


def test_nothing_sounds_unless_it_is_wanted() -> None:
    world = World(sounds=False)
    for event in (SpeechBegan(), Called(by="own"), SpeechEnded(turn=1), answered(1, heard="")):
        world.events.publish(event)
    assert world.quiet


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "end",
    [
        ReplyPiece(turn=1, text="Hi", **MIC),
        answered(1),
        TurnFailed(turn=1, problem="no", **MIC),
        TurnWithdrawn(turn=1, **MIC),
    ],
    ids=lambda event: type(event).__name__,
)
def test_work_is_told_until_an_answer_comes(end: Any) -> None:
    world = World()
    world.events.publish(SpeechEnded(turn=1))
    assert [world.next(), world.next(), world.next()] == ["working"] * 3
    world.events.publish(end)
    world.events.publish(SpeechEnded(turn=2))
    world.speaker.speaking = True  # another reply is being said: nothing sounds in between
    time.sleep(0.1)
    while not world.quiet:  # what was told before, and the sound of a failure
        world.next()
    time.sleep(0.1)
    assert world.quiet
    world.end()


@pytest.mark.usefixtures("quick")
def test_an_answer_that_was_there_before_is_not_waited_for() -> None:
    world = World()
    world.events.publish(ReplyPiece(turn=4, text="Hi", **MIC))
    world.events.publish(SpeechEnded(turn=4))
    time.sleep(0.1)
    assert world.quiet
    world.events.publish(SpeechEnded(turn=5))
    assert world.next() == "working"
    world.events.publish(answered(5))
    world.end()


def test_what_was_not_understood_is_told() -> None:
    world = World()
    world.events.publish(answered(1))
    assert world.quiet
    world.events.publish(answered(2, heard=""))
    assert world.next() == "not_understood"
