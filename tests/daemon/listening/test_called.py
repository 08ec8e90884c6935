"""A whole daemon that hears nothing until somebody calls."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.app import Surroundings
from daemon.client.enrolling import enroll
from daemon.client.own_phrase import learn_phrase
from daemon.client.socket_client import request
from daemon.control.requests import LearnPhrase
from daemon.control.server import Message
from daemon.spoken_turns import own_phrase_path
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.wake.own_phrase import learn_phrase as learnt
from engines.wake.own_phrase import read_phrase, save_phrase
from tests.engines.wake.test_own_phrase import OTHERS, PACES, PHRASE, silence, take
from tests.support.fake_child import eventually
from tests.support.fake_microphone import FakeMicrophone
from tests.support.fakes import fake_models
from tests.support.followed_daemon import FollowedDaemon
from tests.support.running_daemon import folder, make_settings

__all__ = ["folder"]

REQUEST = "Turn on the kitchen light."


class Called(FollowedDaemon):
    """A daemon with a microphone."""

    def __init__(self, folder: Path, **flags: object) -> None:
        self.microphone = FakeMicrophone()
        sources: Any = self.microphone
        super().__init__(
            make_settings(folder, **{"audio.source": "", **flags}),
            Surroundings(open_models=fake_models, sources=sources),
        )

    def say(self, *texts: str) -> None:
        """Say so, with a pause after it that ends a turn."""
        pieces = [take(text, 122) for text in texts]
        self.microphone.say(*pieces, silence(3.0))


Start = Callable[..., Called]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[Called] = []

    def run(**flags: object) -> Called:
        started.append(Called(folder, **flags))
        started[-1].start()
        return started[-1]

    yield run
    for one in started:
        one.app.__exit__()


def takes() -> list[Float32]:
    return [take(PHRASE, pace) for pace in PACES]


@pytest.fixture
def with_phrase(folder: Path) -> None:
    path = own_phrase_path(make_settings(folder).state_dir)
    save_phrase(learnt(PHRASE, takes(), [take(text, 125) for text in OTHERS]), path)


@pytest.mark.usefixtures("with_phrase")
def test_only_what_follows_a_call_is_heard_and_kept(start: Start) -> None:
    daemon = start(wake__word="own", wake__follow_up_seconds=0.1)
    assert daemon.do("status")[0]["wake"] == {"word": "own", "phrase": PHRASE, "open": False}
    daemon.say("What is the time?")
    daemon.say(PHRASE, REQUEST)
    assert daemon.next("speech", "called", "turn") == {"event": "called", "by": "own"}
    assert daemon.next("turn", "turn_failed")["event"] == "turn"
    assert daemon.next("call_ended")
    daemon.say("What is the time?")
    daemon.say("Good morning.")
    assert eventually(lambda: daemon.microphone.empty)
    assert daemon.do("status")[0]["counts"]["utterances"] == 1
    assert daemon.do("status")[0]["wake"]["open"] is False


@pytest.mark.usefixtures("with_phrase")
def test_a_reply_can_be_answered_without_a_call(start: Start) -> None:
    daemon = start(wake__word="own", wake__follow_up_seconds=120)
    daemon.say(PHRASE, REQUEST)
    daemon.next("turn")
    daemon.say("What is the time?")
    assert daemon.next("turn", "call_ended")["event"] == "turn"


def test_a_button_opens_the_microphone_and_ends_the_turn(start: Start) -> None:
    daemon = start(wake__word="button", segmenter__end_silence_seconds=5.0)
    daemon.say(REQUEST)
    assert eventually(lambda: daemon.microphone.empty)
    assert daemon.do("call") == [{"event": "called", "by": "button"}]
    assert daemon.next("speech", "called") == {"event": "called", "by": "button"}
    speech = take("One two three four five six seven eight nine ten.", 122)
    daemon.microphone.say(np.tile(speech, 6))
    assert daemon.next("speech")
    left_seconds = daemon.microphone.waiting_seconds - 1.0
    assert eventually(lambda: daemon.microphone.waiting_seconds < left_seconds)
    assert daemon.do("call", action="end") == [{"event": "call_ended"}]
    assert daemon.next("turn")["event"] == "turn"
    assert daemon.do("status")[0]["wake"]["open"] is False
    daemon.say(REQUEST)
    assert eventually(lambda: daemon.microphone.empty)
    assert daemon.do("status")[0]["counts"]["turns"] == 1


def test_a_client_that_leaves_records_no_phrase(start: Start) -> None:
    daemon = start(wake__word="button")
    command = {"command": "learn_phrase", "text": PHRASE, "takes": 3}
    for _ in range(2):  # the second time nobody else records any more
        events = request(daemon.settings.control.socket, command, 120)
        assert next(events)["event"] == "take_asked"
        events.close()
        assert eventually(lambda: daemon.do("status")[0]["wake"]["open"] is False)


def test_a_phrase_is_recorded_by_the_microphone(start: Start) -> None:
    daemon = start(wake__word="button")
    asked: list[Message] = []
    command = {"command": "learn_phrase", "text": PHRASE, "takes": 3}
    said = iter([take("a", 200)[: SAMPLE_RATE_HZ // 3], *takes()[:3]])
    for event in request(daemon.settings.control.socket, command, 120):
        if event["event"] == "take_asked":
            daemon.microphone.say(next(said), silence(3.0))
        asked.append(event)
    numbers = [event["number"] for event in asked if event["event"] == "take_asked"]
    assert numbers[-3:] == [1, 2, 3] or numbers == [1, 2, 3]
    assert asked[-1]["event"] == "phrase_learnt"
    assert (asked[-1]["text"], asked[-1]["takes"]) == (PHRASE, 3)
    kept = read_phrase(own_phrase_path(daemon.settings.state_dir))
    assert (kept.text, len(kept.templates)) == (PHRASE, 3)
    assert daemon.do("status")[0]["counts"]["turns"] == 0, "nothing of it was a turn"


def test_a_phrase_is_learnt_from_recordings_and_compared_with_what_was_said(
    start: Start, tmp_path: Path
) -> None:
    daemon = start(audio__source="none")
    manifest = tmp_path / "enrol.jsonl"
    lines = []
    for number, text in enumerate(OTHERS):
        write_flac(tmp_path / f"{number}.flac", take(text, 120))
        lines.append(f'{{"audio": "{number}.flac", "text": "{text}"}}')
    manifest.write_text("\n".join(lines))
    list(enroll(daemon.settings.control.socket, manifest))
    paths = []
    for number, one in enumerate(takes()):
        paths.append(tmp_path / f"take-{number}.flac")
        write_flac(paths[-1], one)
    *_, last = learn_phrase(daemon.settings.control.socket, LearnPhrase(text=PHRASE), paths)
    said_seconds = sum(len(take(text, 120)) for text in OTHERS) / SAMPLE_RATE_HZ
    assert last.message()["others_seconds"] == pytest.approx(said_seconds, abs=0.1)
    with pytest.raises(AttuneError, match="there is no microphone .*; give recordings instead"):
        daemon.do("learn_phrase", text=PHRASE)
    with pytest.raises(AttuneError, match="missing.wav"):
        list(
            learn_phrase(
                daemon.settings.control.socket, LearnPhrase(text=PHRASE), [tmp_path / "missing.wav"]
            )
        )


def test_without_a_phrase_the_microphone_stays_deaf_and_says_why(start: Start) -> None:
    daemon = start(wake__word="own")
    wake = daemon.do("status")[0]["wake"]
    assert (wake["word"], wake["open"]) == ("own", False)
    assert "no phrase was recorded; run `attune wake record" in wake["problem"]
    daemon.say(REQUEST)
    assert eventually(lambda: daemon.microphone.empty)
    daemon.do("call")
    assert daemon.next("speech", "called")["event"] == "called"
    daemon.say(REQUEST)
    assert daemon.next("turn")
    assert eventually(lambda: daemon.do("status")[0]["counts"]["turns"] == 1)
