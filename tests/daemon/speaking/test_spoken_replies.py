"""A whole daemon that speaks: replies to what was spoken are said, and clients can have a text said
or stopped."""

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.config.settings import Settings
from daemon.control.server import Message
from engines.errors import AttuneError
from engines.types import Segment
from tests.support.fake_child import eventually
from tests.support.fake_speech import speaking_surroundings
from tests.support.fakes import tone
from tests.support.followed_daemon import PATIENCE_SECONDS, FollowedDaemon
from tests.support.running_daemon import folder, make_settings

__all__ = ["folder"]


class Speaking(FollowedDaemon):
    """A daemon with a voice."""

    def __init__(self, settings: Settings, mode: str) -> None:
        super().__init__(settings, speaking_surroundings(mode))

    def speak(self) -> None:
        self.app.parts.conversation.hear(Segment(tone(1.0, 300), 0.0))


Start = Callable[..., Speaking]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[Speaking] = []

    def run(mode: str = "plays", voice: str = "hum", **flags: object) -> Speaking:
        settings = make_settings(folder, **{"speaking.voice": voice, **flags})
        started.append(Speaking(settings, mode))
        started[-1].start()
        return started[-1]

    yield run
    for one in started:
        one.app.__exit__()


def test_the_reply_to_what_was_spoken_is_said(start: Start) -> None:
    daemon = start()
    daemon.speak()
    turn, said = daemon.next("turn"), daemon.next("said")
    assert turn["reply"] == "0 a tone of 300"
    assert said["turn"] == turn["turn"]
    assert said["seconds"] == pytest.approx(0.05 * len(turn["reply"]) + 0.12, abs=0.1)
    assert said["first_sound_ms"] >= turn["first_token_ms"]
    assert said["stopped"] is False
    assert "problem" not in said
    assert daemon.do("status")[0]["speaking"] == {
        "voice": "hum",
        "loudspeaker": "fake",
        "speaking": False,
    }


def test_a_typed_turn_is_answered_in_writing(start: Start) -> None:
    daemon = start()
    assert daemon.do("ask", text="hello")[-1]["reply"] == "0 hello"
    daemon.speak()
    assert daemon.next("said")["turn"] == 2


@pytest.mark.parametrize(("mode", "voice"), [("absent", "hum"), ("plays", "missing")])
def test_without_a_voice_the_reply_is_still_written(start: Start, mode: str, voice: str) -> None:
    daemon = start(mode, voice)
    daemon.speak()
    assert daemon.next("turn")["reply"] == "0 a tone of 300"
    said = daemon.next("said")
    assert said["seconds"] == 0
    assert said["problem"]
    assert daemon.do("status")[0]["speaking"]["problem"] == said["problem"]


def test_a_text_is_said_for_a_client(start: Start) -> None:
    daemon = start()
    [said] = daemon.do("say", text="The light is on.")
    assert said["event"] == "text_said"
    assert said["seconds"] > 0
    assert said["first_sound_ms"] > 0
    assert daemon.do("say", text="Hi.", voice="other")[0]["seconds"] > 0
    with pytest.raises(AttuneError, match="no voice is called 'missing'"):
        daemon.do("say", text="Hi.", voice="missing")


def test_a_client_stops_what_is_said(start: Start) -> None:
    daemon = start()
    outcome: queue.SimpleQueue[Message] = queue.SimpleQueue()
    long = "One. " * 1500
    saying = threading.Thread(target=lambda: outcome.put(daemon.do("say", text=long)[-1]))
    saying.start()
    assert eventually(lambda: daemon.do("status")[0]["speaking"]["speaking"])
    assert daemon.do("stop") == [{"event": "silenced", "was_speaking": True}]
    assert outcome.get(timeout=PATIENCE_SECONDS)["stopped"] is True
    saying.join()
    assert daemon.do("stop") == [{"event": "silenced", "was_speaking": False}]


def test_a_client_that_leaves_is_not_spoken_to(start: Start) -> None:
    daemon = start()
    with socket.socket(socket.AF_UNIX) as leaving:
        leaving.connect(str(daemon.settings.control.socket))
        leaving.sendall(json.dumps({"command": "say", "text": "One. " * 1500}).encode() + b"\n")
        assert eventually(lambda: daemon.do("status")[0]["speaking"]["speaking"])
    assert eventually(lambda: not daemon.do("status")[0]["speaking"]["speaking"])


def test_a_daemon_without_a_voice_says_so(start: Start) -> None:
    daemon = start(voice="none")
    with pytest.raises(AttuneError, match="speaking.voice is none; set it"):
        daemon.do("say", text="Hi.")
    assert daemon.do("stop")[0]["was_speaking"] is False
    assert daemon.do("status")[0]["speaking"]["voice"] == "none"


def test_what_was_kept_is_played_back_and_not_learned_from(start: Start) -> None:
    daemon = start()
    daemon.speak()
    turn = daemon.next("turn")
    daemon.next("said")
    sounded: list[float] = []
    speaker = daemon.app.parts.speaker
    assert speaker is not None
    speaker._loudspeaker.sounded.subscribe(lambda one: sounded.append(len(one.samples)))
    [played] = daemon.do("play", utterance=str(turn["utterance"])[:6])
    assert (played["event"], played["seconds"]) == ("kept_played", 1.0)
    # It is told to what takes the echo out, and keeps it from being learned from.
    assert eventually(lambda: sum(sounded) >= 16_000)
    with pytest.raises(AttuneError, match="there is no utterance"):
        daemon.do("play", utterance="ffffff")


def test_without_a_voice_nothing_is_played_back(start: Start) -> None:
    daemon = start(voice="none")
    with pytest.raises(AttuneError, match="speaking.voice is none"):
        daemon.do("play", utterance="ffffff")
