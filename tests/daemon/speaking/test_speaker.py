"""Texts are said aloud one after another, while they are written, until they are stopped."""

import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from daemon.attention import Attention
from daemon.speaking.loudspeaker import Sounded
from daemon.speaking.speaker import Said, Speaker
from engines.errors import AttuneError
from engines.types import Float32
from engines.voices.voice import Voice
from tests.support.fake_child import eventually
from tests.support.fake_speech import RATE_HZ, SECONDS_PER_LETTER, fake_loudspeaker, hum

PATIENCE_SECONDS = 120


class World:
    """A speaker, its voice, and what was heard of it."""

    def __init__(
        self,
        mode: str = "plays",
        speak: Callable[[str], Float32] = hum,
        idle_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.loudspeaker = fake_loudspeaker(mode)("", 1.0)
        self.attention = Attention()
        self.opened: list[str | None] = []
        self.closed: list[str | None] = []
        self.spoken: list[str] = []
        self.heard: list[Sounded] = []
        self.speak = speak
        self.loudspeaker.sounded.subscribe(self.heard.append)
        self.speaker = Speaker(self.open_voice, self.loudspeaker, self.attention, idle_seconds)

    def open_voice(self, name: str | None) -> Voice:
        if name == "missing":
            raise AttuneError("no voice is called 'missing'")
        self.opened.append(name)

        def speak(text: str) -> Float32:
            self.spoken.append(text)
            return self.speak(text)

        return Voice(name or "usual", RATE_HZ, speak, lambda: self.closed.append(name))

    def say(self, *pieces: str, voice: str | None = None) -> "queue.SimpleQueue[Said]":
        ended: queue.SimpleQueue[Said] = queue.SimpleQueue()
        speech = self.speaker.begin(ended.put, voice)
        for piece in pieces:
            speech.push(piece)
        speech.finish()
        return ended

    def close(self) -> None:
        self.speaker.close()
        self.loudspeaker.close()


@pytest.fixture
def build() -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def make(
        mode: str = "plays",
        speak: Callable[[str], Float32] = hum,
        idle_seconds: float = PATIENCE_SECONDS,
    ) -> World:
        worlds.append(World(mode, speak, idle_seconds))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def test_a_text_is_said_clause_by_clause(build: Callable[..., World]) -> None:
    world = build()
    said = world.say("The light is", " on. The kettle", " is off.").get(timeout=PATIENCE_SECONDS)
    assert world.spoken == ["The light is on.", "The kettle is off."]
    letters = sum(map(len, world.spoken))
    assert said.seconds == pytest.approx(SECONDS_PER_LETTER * letters + 0.6, abs=0.2)
    assert said.first_sound_at is not None
    assert said.first_sound_at == world.heard[0].at
    assert not said.stopped
    assert not said.problem
    assert sum(len(one.samples) / one.rate_hz for one in world.heard) == pytest.approx(
        said.seconds, abs=0.05
    )
    assert eventually(lambda: not world.attention.needed)


def test_speech_begins_while_the_text_is_written(build: Callable[..., World]) -> None:
    world = build()
    speech = world.speaker.begin()
    assert world.attention.needed
    speech.push("The kitchen light is on now, and")
    assert eventually(lambda: bool(world.heard))
    speech.push(" the kettle is off.")
    speech.finish()
    assert eventually(lambda: len(world.spoken) == 2)


def test_stopping_ends_what_is_said_and_what_waits(build: Callable[..., World]) -> None:
    world = build()
    outcomes = [world.say("One. " * 2000), world.say("Two."), world.say("Three.")]
    assert eventually(lambda: bool(world.heard))
    assert world.speaker.stop()
    said = [outcome.get(timeout=PATIENCE_SECONDS) for outcome in outcomes]
    assert [one.stopped for one in said] == [True] * 3
    assert "Two." not in world.spoken
    assert eventually(lambda: not world.attention.needed)
    assert not world.speaker.stop()
    assert not world.say("Four.").get(timeout=PATIENCE_SECONDS).stopped
    assert world.spoken[-1] == "Four."


def test_one_text_is_stopped_and_the_next_is_said(build: Callable[..., World]) -> None:
    world = build()
    ended: queue.SimpleQueue[Said] = queue.SimpleQueue()
    speech = world.speaker.begin(ended.put)
    speech.push("One. " * 2000)
    after = world.say("Two.")
    assert eventually(lambda: bool(world.heard))
    world.speaker.stop(speech)
    assert ended.get(timeout=PATIENCE_SECONDS).stopped
    assert not after.get(timeout=PATIENCE_SECONDS).stopped
    assert world.spoken[-1] == "Two."


def test_a_writer_that_never_ends_is_stopped(build: Callable[..., World]) -> None:
    world = build()
    ended: queue.SimpleQueue[Said] = queue.SimpleQueue()
    world.speaker.begin(ended.put).push("Half a")
    world.speaker.stop()
    assert ended.get(timeout=PATIENCE_SECONDS).stopped


@pytest.mark.parametrize(
    ("mode", "text", "voice", "problem"),
    [
        ("absent", "Hello.", None, "no output device"),
        ("dies", "Hello there, hello there. " * 200, None, "was removed"),
        ("plays", "unsayable", None, "the voice hum failed"),
        ("plays", "Hello.", "missing", "no voice is called 'missing'"),
    ],
)
def test_a_failure_is_told_and_the_next_text_is_tried(
    build: Callable[..., World], mode: str, text: str, voice: str | None, problem: str
) -> None:
    world = build(mode)
    assert problem in world.say(text, voice=voice).get(timeout=PATIENCE_SECONDS).problem
    assert problem in world.speaker.status().problem
    said = world.say("Hi.").get(timeout=PATIENCE_SECONDS)
    assert bool(said.problem) == (mode == "absent")
    assert bool(world.speaker.status().problem) == (mode == "absent")
    assert eventually(lambda: not world.attention.needed)


def test_a_defect_in_a_voice_ends_one_text_only(build: Callable[..., World]) -> None:
    def defect(text: str) -> Float32:
        if text == "Bad.":
            raise ZeroDivisionError
        return hum(text)

    world = build(speak=defect)
    assert world.say("Bad.").get(timeout=PATIENCE_SECONDS).seconds == 0
    assert world.say("Good.").get(timeout=PATIENCE_SECONDS).seconds > 0


def test_a_text_without_sound_takes_no_time(build: Callable[..., World]) -> None:
    world = build(speak=lambda text: np.zeros(0, np.float32))
    said = world.say("***").get(timeout=PATIENCE_SECONDS)
    assert (said.seconds, said.first_sound_at, said.problem) == (0.0, None, "")


def test_the_voice_is_opened_once_and_freed_on_demand(build: Callable[..., World]) -> None:
    world = build()
    world.speaker.wake()
    for _ in range(2):
        world.say("Hi.").get(timeout=PATIENCE_SECONDS)
    assert world.opened == [None]
    world.speaker.let_go()
    world.say("Hi.").get(timeout=PATIENCE_SECONDS)
    assert world.opened == [None, None]
    assert world.speaker.status().voice == "usual"


def test_a_voice_that_says_nothing_for_a_while_is_closed(build: Callable[..., World]) -> None:
    world = build(idle_seconds=0.05)
    for times in (1, 2):
        world.say("Hello.").get(timeout=PATIENCE_SECONDS)
        assert eventually(lambda: world.closed == world.opened)
        assert world.opened == times * [None]


def test_a_voice_that_failed_is_opened_anew(build: Callable[..., World]) -> None:
    world = build()
    world.say("This is unsayable.").get(timeout=PATIENCE_SECONDS)
    assert not world.say("This is not.").get(timeout=PATIENCE_SECONDS).problem
    assert (world.opened, world.closed) == ([None, None], [None])


def test_a_voice_for_one_text_is_closed_after_it(build: Callable[..., World]) -> None:
    world = build()
    world.say("Hello.").get(timeout=PATIENCE_SECONDS)
    world.say("Hello.", voice="other").get(timeout=PATIENCE_SECONDS)
    assert (world.opened, world.closed) == ([None, "other"], ["other"])
    world.speaker.close()
    assert world.closed == ["other", None]


def test_closing_ends_the_thread_in_the_middle_of_a_text(build: Callable[..., World]) -> None:
    world = build()
    outcome = world.say("One. " * 2000)
    closing = threading.Thread(target=world.speaker.close)
    closing.start()
    closing.join(PATIENCE_SECONDS)
    assert not closing.is_alive()
    assert outcome.get(timeout=1).stopped


def test_a_clause_that_was_prepared_is_said_without_being_computed_again(
    build: Callable[..., World],
) -> None:
    world = build()
    for piece in ("The light is", " on. ", "The kettle is off."):
        world.speaker.prepare(piece)
    said = world.say("The light is", " on. ", "The kettle is off.").get(timeout=PATIENCE_SECONDS)
    assert world.spoken == ["The light is on.", "The kettle is off."]
    assert said.seconds > 1.0


def test_what_was_prepared_and_dropped_is_not_said(build: Callable[..., World]) -> None:
    world = build()
    world.speaker.prepare("Yes. And")
    world.speaker.forget()
    world.say("No. Yes. ").get(timeout=PATIENCE_SECONDS)
    assert world.spoken == ["Yes.", "No.", "Yes."]
    assert world.heard
    assert world.speaker._prepared == {}
