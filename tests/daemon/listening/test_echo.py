"""The microphone does not hear the loudspeaker: its echo is taken out, and a user's voice stays."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from daemon.listening import echo
from daemon.listening.barge_in import BargeIn
from daemon.listening.echo import EchoFreeSource, load_canceller, plan_echo
from daemon.listening.echo_delay import ECHO_AFTER_SECONDS, EchoDelay
from daemon.listening.status import SourceStatus
from daemon.speaking.loudspeaker import Sounded
from daemon.speaking.played_sound import PlayedSound
from daemon.speaking.said_whole import said_whole
from engines.audio.vad import CHUNK_SAMPLES, SileroVad
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voices.catalogue import ESPEAK, HIBARI, VoiceNeeds, open_voice
from tests.support.audio_fixtures import noise

SECOND = SAMPLE_RATE_HZ
TEXT = (
    "It is half past seven, and your timer has ten minutes left. The kitchen light is on. Tomorrow"
    " it will rain in the morning, and the sun will shine in the afternoon, so take an umbrella."
)
TOLD_AFTER = -0.04
"""How much later it is told that the device was given a block, which then holds sound for later."""
BUFFERED = 0.0
"""How much later what the device was given sounds."""


class Room:
    """A loudspeaker and a microphone in simulated time: what is played is heard later, with its
    reverberation, and beside it what somebody says."""

    def __init__(
        self, played: Float32, said: Float32, delay_seconds: float, late: Callable[[int], float]
    ) -> None:
        self.now = 100.0
        self.played_sound = PlayedSound()
        self._late = late
        generator = np.random.default_rng(1)
        tail = generator.standard_normal(1600) * np.exp(-np.arange(1600) / 250)
        reverberant = np.convolve(played, tail / np.linalg.norm(tail))
        delay = np.zeros(round((BUFFERED + delay_seconds) * SECOND))
        echo = np.concatenate([delay, 0.6 * reverberant])
        count = len(said) // CHUNK_SAMPLES * CHUNK_SAMPLES
        echo = np.pad(echo, (0, max(0, count - len(echo))))[:count]
        self.heard = (echo + said[:count]).astype(np.float32).reshape(-1, CHUNK_SAMPLES)
        self.position = 0
        self._played = played
        self._told = 0
        """Samples of which the loudspeaker has told."""

    def clock(self) -> float:
        return self.now + self._late(self.position)

    def read(self, at_most: int) -> Float32 | None:
        if self.position == len(self.heard):
            return None
        self.position += 1
        self.now = 100.0 + self.position * CHUNK_SAMPLES / SECOND
        while self._told < min(len(self._played), (self.clock() - TOLD_AFTER - 100.0) * SECOND):
            # The device does not ask for its blocks quite evenly.
            at = 100.0 + self._told / SECOND + 0.003 * (self._told % 3 - 1)
            block = self._played[self._told : self._told + CHUNK_SAMPLES]
            self.played_sound.note(Sounded(block, SECOND, at))
            self._told += CHUNK_SAMPLES
        return self.heard[self.position - 1 : self.position].copy()

    def status(self) -> SourceStatus:
        return SourceStatus("room", True, 0.0)

    def close(self) -> None:
        pass


def on_time(position: int) -> float:
    return 0.05


def very_late(position: int) -> float:
    return 0.17


def now_and_then_late(position: int) -> float:
    return 0.05 + 0.03 * (position % 4)


def cleaned(room: Room, canceller: Any) -> Float32:
    source = EchoFreeSource(room, room.played_sound, canceller, room.clock)
    chunks = []
    while (taken := source.read(1)) is not None:
        chunks.append(taken)
    return np.concatenate(chunks).reshape(-1)


@cache
def spoken(name: str) -> Float32:
    voice = open_voice(name, VoiceNeeds(Path()))
    samples: Float32 = soxr.resample(said_whole(voice, TEXT), voice.rate_hz, SECOND)
    return samples


def reply(seconds: float) -> Float32:
    """What Attune says."""
    return spoken(HIBARI)[: round(seconds * SECOND)]


def user(seconds: float) -> Float32:
    """What somebody else says."""
    return spoken(ESPEAK)[: round(seconds * SECOND)]


def level_db(samples: Float32) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-9))


@pytest.mark.parametrize("late", [on_time, very_late, now_and_then_late])
@pytest.mark.parametrize("delay_seconds", [0.0, 0.02, 0.1])
def test_the_echo_goes(delay_seconds: float, late: Callable[[int], float]) -> None:
    played = reply(8.0)
    quiet = noise(8.0, 1e-4)
    room = Room(played, quiet, delay_seconds, late)
    left = cleaned(room, load_canceller())
    before = level_db(room.heard.reshape(-1)[3 * SECOND :])
    assert before - level_db(left[3 * SECOND :]) > 25


@pytest.mark.parametrize("moves_seconds", [-0.03, -0.006, 0.006, 0.03])
def test_the_echo_goes_though_the_clock_of_the_device_moves(moves_seconds: float) -> None:
    pause = np.zeros(2 * SECOND, np.float32)
    played = np.concatenate([reply(5.0), pause, reply(5.0), pause, reply(5.0)])
    room = Room(played, noise(19.0, 1e-3), 0.05, on_time)
    note = room.played_sound.note

    def moved(sounded: Sounded) -> None:
        replies_before = int((room.position * CHUNK_SAMPLES / SECOND + 0.1) / 7.0)
        at = sounded.at + moves_seconds * replies_before
        note(Sounded(sounded.samples, sounded.rate_hz, at))

    room.played_sound.note = moved  # type: ignore[method-assign]
    source = EchoFreeSource(room, room.played_sound, load_canceller(), room.clock)
    watch, noticed = BargeIn(), []
    while (chunks := source.read(1)) is not None:
        if watch.push(chunks[0], 1.0, source.echoes):
            noticed.append(room.now - 100.0)
    assert not noticed


@pytest.mark.parametrize("later_seconds", [-0.08, 0.0, 0.013, 0.3])
def test_the_delay_of_an_echo_is_measured_beside_a_voice(later_seconds: float) -> None:
    delay = EchoDelay()
    played = np.pad(reply(4.0), (8 * SECOND, SECOND))
    later = round(later_seconds * SECOND)
    heard = 0.5 * np.roll(played, later)
    heard[8 * SECOND : 12 * SECOND] += 0.2 * user(4.0)[: 4 * SECOND]

    def between(start: float, count: int) -> Float32:
        first = round(start * SECOND)
        return played[first : first + count]

    for first in range(8 * SECOND, 12 * SECOND, CHUNK_SAMPLES):
        delay.push(heard[first : first + CHUNK_SAMPLES], first / SECOND, between)
    assert round((delay.seconds + ECHO_AFTER_SECONDS) * SECOND) == later


def test_what_somebody_else_says_does_not_move_the_delay() -> None:
    delay = EchoDelay()
    played = np.pad(np.tile(reply(4.0), 2), (SECOND, SECOND))
    heard = np.concatenate([np.roll(played, 320)[: 5 * SECOND], user(4.0)])
    changed = [
        delay.push(
            heard[first : first + CHUNK_SAMPLES],
            first / SECOND,
            lambda start, count: played[round(start * SECOND) :][:count],
        )
        for first in range(SECOND, 9 * SECOND, CHUNK_SAMPLES)
    ]
    assert sum(changed) == 1
    assert round((delay.seconds + ECHO_AFTER_SECONDS) * SECOND) == 320


def test_what_is_said_after_the_reply_is_untouched() -> None:
    said = np.concatenate([np.zeros(6 * SECOND), user(3.0)]).astype(np.float32)
    room = Room(reply(3.0), said, 0.1, on_time)
    left = cleaned(room, load_canceller())
    after = slice(6 * SECOND, 9 * SECOND - CHUNK_SAMPLES)
    assert np.array_equal(left[after], said[after])


def test_somebody_who_speaks_over_the_reply_is_heard() -> None:
    said = np.concatenate([np.zeros(5 * SECOND), 2 * user(3.0)]).astype(np.float32)
    room = Room(reply(8.0), said, 0.1, on_time)
    left = cleaned(room, load_canceller())
    over, before = left[5 * SECOND : 7 * SECOND], left[3 * SECOND : 5 * SECOND]
    assert level_db(over) - level_db(before) > 15


@pytest.mark.parametrize("speaks", [True, False])
def test_a_user_who_speaks_over_the_reply_is_noticed(speaks: bool) -> None:
    said = noise(10.0, 1e-3)
    if speaks:
        said[5 * SECOND : 8 * SECOND] += user(3.0)
    room = Room(reply(10.0), said, 0.1, on_time)
    source = EchoFreeSource(room, room.played_sound, load_canceller(), room.clock)
    watch, vad, noticed = BargeIn(), SileroVad(), []
    while (chunks := source.read(1)) is not None:
        if watch.push(chunks[0], vad.probabilities(chunks)[0], source.echoes):
            noticed.append(room.now - 100.0)
    assert bool(noticed) is speaks
    assert all(5.0 < at < 6.5 for at in noticed[:1])


def test_a_canceller_that_takes_nothing_out_leaves_the_microphone_deaf() -> None:
    class Idle:
        def process(self, near: Float32, far: Float32) -> Float32:
            return near

        def reset(self) -> None:
            pass

    said = np.concatenate([np.zeros(8 * SECOND), user(3.0)]).astype(np.float32)
    room = Room(reply(6.0), said, 0.1, on_time)
    left = cleaned(room, Idle())
    assert level_db(left[: 6 * SECOND]) < -100
    after = slice(8 * SECOND, 11 * SECOND - CHUNK_SAMPLES)
    assert np.array_equal(left[after], said[after])


def test_without_a_canceller_the_microphone_is_deaf_while_the_reply_plays() -> None:
    said = user(6.0)
    room = Room(reply(2.0), said, 0.1, on_time)
    left = cleaned(room, None)
    assert not left[: 2 * SECOND].any()
    assert np.array_equal(left[3 * SECOND :], room.heard.reshape(-1)[3 * SECOND :])


def test_lost_sound_is_noticed() -> None:
    """A microphone that lost a second of sound is in step again after a few."""
    gap = 1.0
    room = Room(reply(14.0), noise(14.0, 1e-4), 0.1, on_time)
    clock = room.clock
    source = EchoFreeSource(
        room, room.played_sound, load_canceller(), lambda: clock() + gap * (room.position > 100)
    )
    note = room.played_sound.note

    def shifted(sounded: Sounded) -> None:
        at = sounded.at + gap * (room.position >= 100)
        note(Sounded(sounded.samples, sounded.rate_hz, at))

    room.played_sound.note = shifted  # type: ignore[method-assign]
    chunks = []
    while (taken := source.read(1)) is not None:
        chunks.append(taken)
    left = np.concatenate(chunks).reshape(-1)
    heard = room.heard.reshape(-1)
    assert level_db(heard[10 * SECOND :]) - level_db(left[10 * SECOND :]) > 25


@pytest.mark.parametrize(
    ("plays", "has_canceller", "barge_in", "ends_reply", "wraps"),
    [
        (False, True, "auto", False, False),
        (False, True, True, True, False),
        (True, True, "auto", True, True),
        (True, True, False, False, True),
        (True, True, True, True, True),
        (True, False, "auto", False, True),
        (True, False, False, False, True),
        (True, False, True, True, False),
    ],
)
def test_what_is_done_about_the_echo(
    plays: bool,
    has_canceller: bool,
    barge_in: Any,
    ends_reply: bool,
    wraps: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(echo, "load_canceller", lambda: object() if has_canceller else None)
    plan = plan_echo(PlayedSound() if plays else None, barge_in)
    room = Room(noise(1.0, 0.1), noise(1.0, 0.1), 0.0, on_time)
    assert plan.barge_in is ends_reply
    source, _, _ = plan.apply(room, lambda: None)
    assert isinstance(source, EchoFreeSource) is wraps


def test_played_sound_is_found_by_its_time() -> None:
    played = PlayedSound()
    assert not played.sounded_since(0.0)
    block = np.arange(1, 321, dtype=np.float32)
    played.note(Sounded(block, SECOND, 10.0))
    played.note(Sounded(block, SECOND, 10.021))  # a millisecond late: it follows
    played.note(Sounded(block, SECOND, 11.0))
    assert np.array_equal(played.between(10.0, 640), np.concatenate([block, block]))
    assert np.array_equal(played.between(9.99, 320), np.pad(block[:160], (160, 0)))
    assert not played.between(10.5, 320).any()
    assert played.sounded_since(11.01)
    assert not played.sounded_since(11.03)


def test_played_sound_of_another_rate_is_brought_to_ours() -> None:
    played = PlayedSound()
    times = np.arange(24000) / 24000
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    for start in range(0, 24000, 480):
        at = 10.0 + start / 24000
        played.note(Sounded(tone[start : start + 480], 24000, at))
    expected = np.sin(2 * np.pi * 440 * np.arange(8000) / SECOND)
    found = played.between(10.2, 8000)
    shift = np.correlate(found, expected[:4000]).argmax()
    assert np.allclose(found[shift : shift + 4000], expected[:4000], atol=0.05)
