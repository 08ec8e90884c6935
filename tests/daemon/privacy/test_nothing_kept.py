"""A whole daemon keeps nothing of what is said until its user agrees, and again while it is
private."""

import queue
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.events.event import Event
from daemon.events.turns import TurnAnswered
from daemon.privacy.consent import QUESTION
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.types import Float32, Segment
from tests.bench.nothing_kept import hear as hear_real
from tests.support.content import containing
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Daemon, Start, enroll, folder, start

__all__ = ["folder", "start"]

SECRET = "xylophone marmalade"
SAID = tone(1.0, 440)


def found_in(folder: Path, said: Float32) -> list[Path]:
    """The files in which there is anything of `said`, in any form in which sound is stored
    without being compressed, or of SECRET; and sound that is."""
    part = said[4000:4100]
    patterns = [
        SECRET.encode(),
        part.tobytes(),
        np.round(part * 32768).astype("<i2").tobytes(),
        b"fLaC",
    ]
    return containing(folder, *patterns)


@pytest.fixture
def quiet_temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of its own."""
    place = folder / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield place
    monkeypatch.setattr("tempfile.tempdir", None)


def use(daemon: Daemon, recordings: Path) -> None:
    """Speak and type in every way that the socket knows."""
    write_flac(recordings / "said.flac", SAID)
    for route in ("cascade", None):
        daemon.do("ask", audio=recordings / "said.flac", route=route)
    daemon.do("listen", audio=recordings / "said.flac")
    daemon.do("ask", text=SECRET)
    hear(daemon, SAID)


def hear(daemon: Daemon, samples: Float32) -> TurnAnswered:
    """Say something at the microphone; returns the last event of the turn."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    daemon.app.parts.conversation.hear(Segment(samples, 0.0), events=events)
    while not isinstance(event := events.get(timeout=60), TurnAnswered):
        pass
    return event


def test_until_somebody_agrees_nothing_is_kept(
    start: Start, folder: Path, tmp_path: Path, quiet_temporary: Path
) -> None:
    write_base(folder / "state" / "generations")
    daemon = start(agreed=False)
    assert found_in(folder, SAID) == []
    use(daemon, tmp_path)
    status = daemon.status()
    assert status["keeping"] == {
        "now": False,
        "agreed": None,
        "since": None,
        "recordings": True,
        "private_seconds": 0.0,
    }
    assert status["last_turns"] == []
    assert found_in(folder, SAID) == []
    with pytest.raises(AttuneError, match="attune consent on"):
        enroll(daemon, tmp_path)
    with pytest.raises(AttuneError, match="attune consent on"):
        daemon.do("correct", text="something else")
    assert daemon.do("adapt")[-1]["outcome"] == "cancelled"
    assert "agreed" in str(daemon.status()["adaptation"])
    assert found_in(folder, SAID) == []


def test_from_then_on_it_is_and_not_while_it_is_private_or_once_that_is_taken_back(
    start: Start, folder: Path, tmp_path: Path, quiet_temporary: Path
) -> None:
    daemon = start(agreed=False)
    [told] = daemon.do("consent", agreed=True)
    assert told["keeping"]["agreed"]
    daemon.do("ask", text="private mode for an hour")
    assert 3500 < float(daemon.status()["keeping"]["private_seconds"]) <= 3600
    use(daemon, tmp_path)
    assert found_in(folder, SAID) == []
    daemon.do("ask", text="private mode off")
    assert daemon.status()["last_turns"] == [], "that, too, was said in private"
    use(daemon, tmp_path)
    assert {path.suffix for path in found_in(folder, SAID)} >= {".flac"}
    turns = len(daemon.status()["last_turns"])
    daemon.do("consent", agreed=False)
    daemon.do("ask", text="hello")
    assert len(daemon.status()["last_turns"]) == turns


def test_it_is_asked_once_by_voice_and_a_yes_is_enough(start: Start, folder: Path) -> None:
    daemon = start(agreed=False)
    replies = [hear(daemon, tone(1.0, 300 + 20 * number)).reply for number in range(5)]
    assert [QUESTION in reply for reply in replies] == [False, False, True, False, False]
    daemon = start(agreed=False, control__socket=folder / "b.sock", state_dir=folder / "other")
    for number in range(3):
        hear(daemon, tone(1.0, 300 + 20 * number))
    [*_, answered] = daemon.do("ask", text="yes")
    assert answered["ability"] == "privacy"
    keeping = daemon.status()["keeping"]
    assert (keeping["agreed"], keeping["by"]) == (True, "voice")


def test_a_no_is_noted_and_it_can_be_said_at_any_time(start: Start) -> None:
    daemon = start(agreed=False)

    def say(text: str) -> str:
        return str(daemon.do("ask", text=text)[-1]["reply"])

    assert say("do you record me") == "No. I keep nothing of what you say."
    assert say("learn from me") == QUESTION
    assert say("no") == "Then I keep nothing."
    keeping = daemon.status()["keeping"]
    assert (keeping["agreed"], keeping["now"]) == (False, False)
    assert say("you may learn from what I say") == QUESTION
    say("yes please")
    assert daemon.status()["keeping"]["now"]
    assert say("do you record me").startswith("Yes.")
    assert say("stop learning for good").startswith("I keep nothing more")
    assert not daemon.status()["keeping"]["now"]
    assert say("stop learning for good") == "I keep nothing of what you say anyway."


@pytest.mark.slow
@pytest.mark.parametrize("agreed", [False, True])
def test_real_speech_is_found_in_no_file_unless_its_user_agreed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    """`make bench-consent` does the same with an hour."""
    monkeypatch.setenv("TMPDIR", "")  # it is changed, and has to be put back
    said, found = hear_real(1.0, tmp_path / "daemon", agreed)
    assert len(said.texts) > 5
    assert len(said.sounds) > 50
    if not agreed:
        assert found == []
        return
    marks = {line.rpartition(": ")[2] for line in found}
    assert "fLaC" in marks
    assert marks & said.texts, "what is kept is found, so that what is not found is not kept"
