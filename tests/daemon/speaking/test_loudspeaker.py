"""The loudspeaker: plays, falls silent at once, and survives devices that are absent, lost or hung.

The last tests play through a real sound server.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from daemon.speaking import loudspeaker as module
from daemon.speaking.loudspeaker import Loudspeaker, Sounded
from daemon.speaking.player import faded
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.support.audio_fixtures import pitch_hz
from tests.support.fake_child import eventually
from tests.support.sound_server import SoundServer, sound_server

__all__ = ["sound_server"]

RATE_HZ = 24000


def tone(seconds: float, rate_hz: int = RATE_HZ) -> Float32:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


Open = Callable[..., Loudspeaker]


@pytest.fixture
def opened() -> Iterator[Open]:
    loudspeakers: list[Loudspeaker] = []

    def open_one(mode: str, device: str = "", volume: float = 1.0) -> Loudspeaker:
        command = (sys.executable, "-m", "tests.support.fake_player", mode)
        loudspeakers.append(Loudspeaker(device, volume, command))
        return loudspeakers[-1]

    yield open_one
    for one in loudspeakers:
        one.close()


def heard_of(loudspeaker: Loudspeaker) -> list[Sounded]:
    heard: list[Sounded] = []
    loudspeaker.sounded.subscribe(heard.append)
    return heard


@pytest.mark.parametrize(("mode", "rate_hz"), [("plays", 24000), ("stereo", 48000)])
def test_what_is_played_is_told_to_those_who_cancel_echoes(
    opened: Open, mode: str, rate_hz: int
) -> None:
    loudspeaker = opened(mode, "kitchen", volume=0.5)
    heard = heard_of(loudspeaker)
    loudspeaker.play(tone(1.0), RATE_HZ)
    loudspeaker.wait()
    sounded = np.concatenate([one.samples for one in heard])
    assert {one.rate_hz for one in heard} == {rate_hz}
    assert len(sounded) == pytest.approx(rate_hz, rel=0.01)
    assert float(np.abs(sounded).max()) == pytest.approx(0.15, rel=0.05)
    assert [one.at for one in heard] == sorted(one.at for one in heard)
    assert loudspeaker.status().device == "kitchen"
    assert loudspeaker.status().problem == ""


def test_a_pause_is_no_hang(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    loudspeaker = opened("plays")
    loudspeaker.play(tone(0.1), RATE_HZ)
    loudspeaker.wait()
    monkeypatch.setattr(loudspeaker, "_clock", lambda: time.monotonic() + 10.0)
    loudspeaker.play(tone(0.1), RATE_HZ)
    loudspeaker.wait()


def test_it_falls_silent_and_plays_again(opened: Open) -> None:
    loudspeaker = opened("plays")
    heard = heard_of(loudspeaker)
    loudspeaker.play(tone(30.0), RATE_HZ)
    assert eventually(lambda: len(heard) > 3)
    loudspeaker.stop()
    loudspeaker.wait()
    assert sum(len(one.samples) for one in heard) < 29 * RATE_HZ
    before = len(heard)
    loudspeaker.play(tone(0.1), RATE_HZ)
    loudspeaker.wait()
    assert sum(len(one.samples) for one in heard[before:]) == pytest.approx(2400, abs=2)


def test_stopping_ends_a_play_that_still_gives_sound(opened: Open) -> None:
    loudspeaker = opened("plays")
    loudspeaker.play(tone(0.01), RATE_HZ)
    playing = threading.Thread(target=loudspeaker.play, args=(tone(600.0), RATE_HZ))
    playing.start()
    while playing.is_alive():
        loudspeaker.stop()
        time.sleep(0.001)
    loudspeaker.stop()
    loudspeaker.wait()


@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        ("absent", "cannot be opened: there is no output device"),
        ("hangs", "cannot be opened: the sound server does not answer"),
        ("stuck", "plays nothing"),
        ("dies", "was removed, or the sound server ended"),
    ],
)
def test_a_device_that_fails_is_told_in_one_line(
    opened: Open, mode: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 2.0)
    loudspeaker = opened(mode, "kitchen")
    for _ in range(3):  # the later calls fail at once, or find the device lost again
        with pytest.raises(AttuneError, match=f"^the loudspeaker kitchen {problem}$"):
            play_to_its_end(loudspeaker)
    assert loudspeaker.status().problem == problem
    loudspeaker.stop()


def play_to_its_end(loudspeaker: Loudspeaker) -> None:
    loudspeaker.play(tone(5.0), RATE_HZ)
    loudspeaker.wait()


def test_a_lost_device_is_found_again(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    loudspeaker = opened("absent")
    with pytest.raises(AttuneError, match="no output device"):
        loudspeaker.wake()
    monkeypatch.setattr(
        loudspeaker, "_command", [sys.executable, "-m", "tests.support.fake_player", "plays", ""]
    )
    assert eventually(lambda: plays(loudspeaker))
    assert loudspeaker.status().problem == ""
    assert loudspeaker.status().openings == 1


def plays(loudspeaker: Loudspeaker) -> bool:
    try:
        loudspeaker.play(tone(0.1), RATE_HZ)
    except AttuneError:
        return False
    loudspeaker.wait()
    return True


def test_a_player_that_ended_by_itself_is_started_again(opened: Open) -> None:
    loudspeaker = opened("idle")
    loudspeaker.wake()
    assert eventually(lambda: loudspeaker._player is not None and loudspeaker._player.ended)
    assert loudspeaker.status().problem == ""
    loudspeaker.wake()
    assert loudspeaker.status().openings == 2


def test_a_killed_player_is_a_problem(opened: Open) -> None:
    loudspeaker = opened("plays")
    loudspeaker.play(tone(60.0), RATE_HZ)
    assert loudspeaker._player is not None
    loudspeaker._player.process.kill()
    with pytest.raises(AttuneError, match="the process that plays was ended"):
        loudspeaker.wait()


def test_what_is_dropped_fades_out() -> None:
    faint = np.frombuffer(faded(np.full(240, 10000, np.int16).tobytes()), np.int16)
    assert faint[0] == 10000
    assert abs(int(faint[-1])) < 100
    assert (np.diff(faint) <= 0).all()
    assert faded(b"") == b""


# --- through a real sound server


@pytest.fixture
def wire(sound_server: SoundServer, monkeypatch: pytest.MonkeyPatch) -> SoundServer:
    monkeypatch.setenv("PULSE_SINK", "wire")
    return sound_server


def test_sound_reaches_a_real_device_and_stops(wire: SoundServer) -> None:
    loudspeaker = Loudspeaker()
    heard = heard_of(loudspeaker)
    try:
        loudspeaker.play(tone(0.5), RATE_HZ)
        loudspeaker.wait()
        sounded = np.concatenate([one.samples for one in heard])
        assert len(sounded) == pytest.approx(0.5 * heard[0].rate_hz, rel=0.01)
        scale = heard[0].rate_hz / SAMPLE_RATE_HZ
        assert pitch_hz(sounded) * scale == pytest.approx(440, abs=5)
        loudspeaker.play(tone(60.0), RATE_HZ)
        assert eventually(lambda: len(heard) > 30)
        loudspeaker.stop()
        loudspeaker.wait()
        assert sum(len(one.samples) for one in heard) < 50 * heard[0].rate_hz
    finally:
        loudspeaker.close()


def test_a_server_that_ends_is_noticed_and_found_again(wire: SoundServer) -> None:
    loudspeaker = Loudspeaker()
    try:
        loudspeaker.play(tone(60.0), RATE_HZ)
        wire("kill")
        with pytest.raises(AttuneError, match="the loudspeaker"):
            loudspeaker.wait()
        assert loudspeaker.status().problem
        wire("start")
        assert eventually(lambda: plays(loudspeaker))
    finally:
        loudspeaker.close()
