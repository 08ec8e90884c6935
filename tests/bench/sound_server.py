"""A conversation through a sound server with a loudspeaker that the microphone hears, as benches
of speech have it. Needs Debian's pulseaudio, pulseaudio-utils and libasound2-plugins; no sound
card."""

import os
import queue
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from daemon.client.enrolling import enroll
from daemon.client.socket_client import request
from daemon.control.server import Message
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.bench.world import speak
from tests.support.places import SUPPORT

SCRIPT = SUPPORT / "virtual_mic.sh"
PATIENCE_SECONDS = 60.0
LOUD = 0.02
_LOOKS = 20


class Sound:
    """A private sound server, and a recording of everything that its loudspeaker plays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("start")
        for line in self("env").splitlines():
            name, value = line.split("=", 1)
            os.environ[name] = value
        os.environ["PULSE_SINK"] = "wire"
        self._file = (folder / "all.raw").open("wb")
        self._recorder = subprocess.Popen(
            ["parec", "--device=wire.monitor", "--raw", "--rate=16000", "--channels=1",
             "--format=s16le", "--latency-msec=20"],
            stdout=self._file,
        )  # fmt: skip

    def __call__(self, *verb: str) -> str:
        command = ["bash", str(SCRIPT), str(self.folder), *verb]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def play(self, path: Path) -> None:
        """Play a recording to the microphone, to its end."""
        self("play", str(path))

    def recorded(self) -> Float32:
        """Everything since the start."""
        samples = np.fromfile(self.folder / "all.raw", np.int16).astype(np.float32)
        return np.asarray(samples / 32768, np.float32)

    def close(self) -> None:
        self._recorder.terminate()
        self._recorder.wait()
        self._file.close()
        self("stop")


class Listener:
    """A client that follows a daemon."""

    def __init__(self, socket: Path) -> None:
        self.events: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._socket = socket
        threading.Thread(target=self._follow, daemon=True).start()
        self.next("following")

    def next(self, *kinds: str, seconds: float = PATIENCE_SECONDS) -> Message | None:
        """The next event of one of `kinds`; None if none comes in time."""
        until = time.monotonic() + seconds
        with suppress(queue.Empty):
            while (left := until - time.monotonic()) > 0:
                event = self.events.get(timeout=left)
                if event["event"] in kinds:
                    return event
        return None

    def drop(self) -> None:
        """Forget the events that came so far."""
        while not self.events.empty():
            self.events.get()

    def _follow(self) -> None:
        with suppress(AttuneError):
            for event in request(self._socket, {"command": "events"}, None):
                self.events.put(event)


def at_level(samples: Float32) -> Float32:
    """`samples` at the loudness of a conversation, cut to their speech."""
    loud = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max())
    speech = samples[max(0, loud[0] - 800) : loud[-1] + 800]
    level = (0.08 * speech / np.sqrt(np.mean(speech**2))).clip(-0.95, 0.95)
    return np.asarray(level, np.float32)


def requests_of(speaker: str, count: int, folder: Path) -> list[Path]:
    """Recordings of `count` requests by `clear` or `atypical`, with silence after each."""
    paths = []
    for number, row in enumerate(speak(folder / speaker, speaker)[:count]):
        samples, rate_hz = soundfile.read(row["audio"], dtype="float32")
        samples = at_level(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ))
        paths.append(folder / f"{speaker}-{number}.wav")
        soundfile.write(paths[-1], samples, SAMPLE_RATE_HZ)
    return paths


def ends_at(recorded: Float32, said: Float32, after: int) -> int:
    """Where `said` ends in what was recorded from sample `after` on."""
    window = recorded[after:]
    size = 1 << (len(window) + len(said) - 1).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(said, size))
    place = int(np.argmax(np.fft.irfft(spectrum, size)[: len(window)]))
    loud = np.flatnonzero(np.abs(said) > LOUD)
    return after + place + int(loud[-1])


def first_sound(recorded: Float32, after: int) -> int | None:
    """The first sample of a sound that begins after sample `after`."""
    quiet = 800
    loud = np.flatnonzero(np.abs(recorded[after + quiet :]) > LOUD)
    return after + quiet + int(loud[0]) if len(loud) else None


@dataclass(frozen=True)
class Gap:
    """The time until a reply sounded."""

    seconds: float
    by_ability: bool
    """Whether an ability answered, and not the language model."""


def gaps(sound: Sound, listener: Listener, paths: list[Path]) -> list[Gap]:
    """The time between the end of each request and the first sound of its reply."""
    found = []
    for path in paths:
        before = len(sound.recorded())
        sound.play(path)
        turn = None
        while (said := listener.next("said", "turn")) is not None and said["event"] == "turn":
            turn = said
        time.sleep(1.5)
        if said is None or not said["seconds"]:
            continue
        recorded = sound.recorded()
        samples, _ = soundfile.read(path, dtype="float32")
        end = ends_at(recorded, samples, max(0, before - SAMPLE_RATE_HZ))
        reply = first_sound(recorded, end)
        if reply is not None:
            by_ability = turn is not None and turn.get("ability") is not None
            found.append(Gap((reply - end) / SAMPLE_RATE_HZ, by_ability))
    return found


def learn_pauses(socket: Path, folder: Path) -> str:
    """Enrol a speaker, wait until the pauses are learnt, and return what ends a turn now."""
    for _ in enroll(socket, folder / "enrol.jsonl", False, PATIENCE_SECONDS):
        pass
    told = ""
    for _ in range(_LOOKS):
        time.sleep(10.0)
        before, told = (
            told,
            str(next(iter(request(socket, {"command": "status"}, 30)))["end_of_turn"]),
        )
        if told == before and "learnt" in told:
            break
    return told


def spread(values: list[float]) -> dict[str, float]:
    """The median and the 95th percentile of `values`."""
    if not values:
        return {}
    found = np.quantile(values, [0.5, 0.95])
    return {"median": round(float(found[0]), 2), "of_95_in_100": round(float(found[1]), 2)}
