"""The microphone through a real sound server that is unplugged, killed, suspended and hung under
it.

Needs Debian's pulseaudio, pulseaudio-utils and libasound2-plugins; no sound card.
ATTUNE_TEST_NO_PULSE=1 skips these tests.
"""

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from daemon import portaudio
from daemon.listening.microphone import Microphone, MicrophoneLimits
from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.support.audio_fixtures import noise, pitch_hz, tone
from tests.support.chunks import chunks_of
from tests.support.sound_server import SoundServer, sound_server

server = sound_server
LIMITS = MicrophoneLimits(zeros_seconds=3.0, first_retry_seconds=0.1, longest_retry_seconds=0.5)
LOUD = 0.02


class Taker:
    """Takes chunks in a thread, and wakes whoever waits for something at each."""

    def __init__(self, microphone: Microphone, wanted: Callable[[], int] = lambda: 1) -> None:
        self.microphone = microphone
        self.wanted = wanted
        self.chunks: list[Float32] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        for chunk in chunks_of(self.microphone, self.wanted):
            with self._news:
                self.chunks.append(chunk)
                self._news.notify_all()

    def wait_for(
        self, predicate: Callable[[], bool], what: str, timeout_seconds: float = 120.0
    ) -> None:
        with self._news:
            assert self._news.wait_for(predicate, timeout_seconds), (
                f"{what}: {self.microphone.status()}"
            )

    def wait_for_chunks(self, count: int) -> None:
        goal = len(self.chunks) + count
        self.wait_for(lambda: len(self.chunks) >= goal, f"{count} more chunks")

    def wait_until_connected(self) -> None:
        self.wait_for(lambda: self.microphone.status().connected, "connected")

    def close(self) -> None:
        self.microphone.close()
        self._thread.join(120)
        assert not self._thread.is_alive()


@pytest.fixture
def taker(server: SoundServer) -> Iterator[Taker]:
    taking = Taker(Microphone("vmic", LIMITS))
    taking.wait_until_connected()
    yield taking
    taking.close()


def is_loud(chunk: Float32) -> bool:
    return float(np.abs(chunk).max()) > LOUD


def assert_hears(server: SoundServer, taker: Taker) -> None:
    before = len(taker.chunks)
    server.play()
    taker.wait_for(lambda: sum(map(is_loud, taker.chunks[before:])) > 10, "hears what is played")


def test_it_hears_what_is_played(server: SoundServer, taker: Taker) -> None:
    before = len(taker.chunks)
    server.play()
    taker.wait_for(
        lambda: (
            any(map(is_loud, taker.chunks[before:-10]))
            and not any(map(is_loud, taker.chunks[-10:]))
        ),
        "all played",
    )
    heard = np.concatenate(taker.chunks[before:])
    assert all(
        chunk.shape == (CHUNK_SAMPLES,) and chunk.dtype == np.float32 for chunk in taker.chunks
    )
    # A busy machine may lose a block and what follows then comes earlier, so each tenth of a second
    # is looked for by itself.
    pieces = noise(1.0, 0.2).reshape(10, -1)
    likeness = [np.correlate(heard, piece).max() / np.linalg.norm(piece) ** 2 for piece in pieces]
    assert np.median(likeness) == pytest.approx(1.0, abs=0.1), likeness
    assert taker.microphone.status().device == "vmic"


@pytest.mark.parametrize(
    ("fault", "repair", "problem"),
    [
        # PulseAudio moves the stream to another source.
        ("unplug", "plug", "gave no sound|exact silence|cannot be opened"),
        ("unplug-all", "plug", "was removed|cannot be opened"),
        ("kill", "start", "was removed|cannot be opened"),
        ("suspend", "resume", "gave no sound"),
        ("hang", "wake", "gave no sound"),
    ],
)
def test_it_comes_back(
    server: SoundServer, taker: Taker, fault: str, repair: str, problem: str
) -> None:
    assert_hears(server, taker)
    server(fault)
    try:
        taker.wait_for(
            lambda: re.search(problem, taker.microphone.status().problem) is not None,
            f"{fault} is noticed",
        )
        since = len(taker.chunks)
        taker.wait_for_chunks(20)
        assert not any(is_loud(chunk) for chunk in taker.chunks[since:]), "silence while it is away"
    finally:
        server(repair)
    taker.wait_until_connected()
    assert_hears(server, taker)
    status = taker.microphone.status()
    assert status.reconnects >= 1
    assert status.dropped_chunks == 0


def test_exact_silence_opens_it_again_ever_more_rarely(
    server: SoundServer, caplog: pytest.LogCaptureFixture
) -> None:
    limits = MicrophoneLimits(zeros_seconds=0.5, longest_zeros_seconds=2.0, first_retry_seconds=0.1)
    taker = Taker(Microphone("vmic", limits))
    try:
        with caplog.at_level(logging.WARNING):
            taker.wait_for(lambda: caplog.text.count("exact silence") >= 4, "four times")
    finally:
        taker.close()
    assert re.findall(r"exact silence for ([0-9.]+) s", caplog.text)[:4] == [
        "0.5",
        "1.0",
        "2.0",
        "2.0",
    ]


def test_a_device_that_is_not_there_is_waited_for(
    server: SoundServer, caplog: pytest.LogCaptureFixture
) -> None:
    taker = Taker(Microphone("no such device", LIMITS))
    taker.wait_for_chunks(50)
    taker.close()
    status = taker.microphone.status()
    assert not status.connected
    assert "no such device" in status.problem
    assert len(caplog.records) == 1, "said once, not at every retry"


def test_a_hung_server_holds_up_neither_closing_nor_exit(server: SoundServer) -> None:
    script = (
        "from daemon.listening.microphone import *\n"
        "m = Microphone('vmic', MicrophoneLimits(stall_seconds=0.3))\n"
        "while not m.status().connected: m.read(1)\n"
        "print('connected', flush=True); input()\n"
        "while m.status().connected: m.read(1)\n"
        "m.close(); print('closed')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        server("hang")
        try:
            rest, _ = process.communicate("\n", timeout=120)
        finally:
            server("wake")
            process.kill()
    assert rest == "closed\n"
    assert process.returncode == 0


# What follows needs no sound server: devices that this machine cannot be given.


class OddDevice:
    """PortAudio with one device, which takes one rate and one number of channels only."""

    class PortAudioError(Exception):
        """As sounddevice's: a text and a code."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self.opened = threading.Event()
        self.block_frames: int
        self.callback: Callable[..., None]

    def query_devices(self, device: str | None, kind: str) -> dict[str, Any]:
        return {
            "name": "odd",
            "index": 3,
            "default_samplerate": float(self.rate_hz),
            "max_input_channels": self.channels,
        }

    def RawInputStream(
        self,
        *,
        samplerate: int,
        channels: int,
        blocksize: int,
        callback: Callable[..., None],
        **_: object,
    ) -> SimpleNamespace:
        if samplerate != self.rate_hz:
            raise self.PortAudioError("Invalid sample rate", -9997)
        if channels != self.channels:
            raise self.PortAudioError("Invalid number of channels", -9998)
        self.block_frames = blocksize
        self.callback = callback
        return SimpleNamespace(start=self.opened.set, abort=lambda: None, close=lambda: None)

    def deliver(self, samples: Float32) -> None:
        """Call back with whole blocks, the samples in the first channel and others in the rest."""
        size = self.block_frames
        for start in range(0, len(samples) - size + 1, size):
            block = np.full((size, self.channels), 0.5, np.float32)
            block[:, 0] = samples[start : start + size]
            self.callback(memoryview(block.tobytes()), size, None, None)

    def _terminate(self) -> None: ...

    def _initialize(self) -> None: ...


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(48_000, 1), (44_100, 2), (48_000, 6), (16_000, 1)]
)
def test_a_device_of_another_rate(rate_hz: int, channels: int) -> None:
    device = OddDevice(rate_hz, channels)
    microphone = Microphone("odd", MicrophoneLimits(stall_seconds=60.0), lambda: device)
    microphone.read(1)  # opens the device; until that is done there is silence
    chunks = chunks_of(microphone)
    assert device.opened.wait(120)
    device.deliver(tone(2.0, 440.0, rate_hz))
    heard = np.concatenate([chunk for chunk in (next(chunks) for _ in range(58)) if chunk.any()])
    microphone.close()
    assert len(heard) > SAMPLE_RATE_HZ
    assert pitch_hz(heard) == pytest.approx(440.0, abs=2.0)
    assert np.abs(heard[2000:-2000]).max() == pytest.approx(0.3, abs=0.01)


def test_what_is_not_taken_in_time_is_dropped_oldest_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = OddDevice(SAMPLE_RATE_HZ, 1)
    microphone = Microphone(
        "odd", MicrophoneLimits(stall_seconds=60.0, queue_seconds=0.32), lambda: device
    )
    microphone.read(1)  # opens the device; until that is done there is silence
    chunks = chunks_of(microphone)
    assert device.opened.wait(120)
    device.deliver(np.repeat(np.arange(1, 17, dtype=np.float32), CHUNK_SAMPLES))
    assert [int(next(chunks)[0]) for _ in range(10)] == list(range(7, 17))
    microphone.close()
    assert microphone.status().dropped_chunks == 6
    assert caplog.text.count("not read in time") == 1


def test_a_taker_sleeps_until_there_is_as_much_as_it_wants() -> None:
    device = OddDevice(SAMPLE_RATE_HZ, 1)
    wanted = [1]
    taker = Taker(
        Microphone(
            "odd", MicrophoneLimits(stall_seconds=3.0, first_retry_seconds=60.0), lambda: device
        ),
        lambda: wanted[0],
    )

    def deliver(*values: int) -> None:
        device.deliver(np.repeat(np.array(values, np.float32), CHUNK_SAMPLES))

    def taken() -> list[int]:
        return [int(chunk[0]) for chunk in taker.chunks if chunk.any()]

    try:
        assert device.opened.wait(120)
        deliver(1, 2)
        while not taker.microphone.status().connected:
            time.sleep(0.01)
        wanted[0] = 8
        deliver(3, 4)  # it may have asked before, and take these
        deliver(5, 6, 7, 8)
        time.sleep(0.2)
        assert taken() in ([1, 2], [1, 2, 3, 4])
        wanted[0] = 1
        deliver(9, 10, 11, 12)
        taker.wait_for(lambda: taken() == list(range(1, 13)), "all")
        wanted[0] = 8
        deliver(13, 14, 15, 16)
        taker.wait_for(
            lambda: 16 in taken() and not taker.chunks[-1].any(),
            "what was left when the device was lost, then silence",
        )
    finally:
        taker.close()


def test_without_portaudio() -> None:
    def absent() -> None:
        raise OSError("PortAudio library not found")

    with pytest.raises(AttuneError, match="apt install libportaudio2"):
        Microphone(load=absent)


@pytest.mark.parametrize("name", portaudio.UNDOCUMENTED)
def test_what_sounddevice_does_not_promise_is_there(name: str) -> None:
    assert callable(getattr(portaudio.load(), name))
