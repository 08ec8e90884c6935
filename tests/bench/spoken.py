"""`make bench-spoken`: how a spoken conversation goes, through a sound server with a loudspeaker
that the microphone hears. Prints JSON.

1. The gap between the last sample of a request and the first sample of its reply, as recorded from
   the loudspeaker, beside that of a stack as people build it, computed in the same run: 0.7 s of
   silence, faster-whisper tiny.en, the same language model to its end, and a voice on the whole
   reply. Without Piper's voice the stack speaks with the one that Attune uses.
2. Replies at conversation level that nobody answers: the turns that they cause.
3. Replies over which somebody begins to speak: how many end, and how long they sound on.

Needs Debian's pulseaudio, pulseaudio-utils and libasound2-plugins; no sound card. Exits with 1
where an aim is missed: a median gap of at most 0.9 s and at most 0.4 of the stack's, no turn that a
reply causes, and 95 of 100 replies that end because somebody begins to speak.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from daemon.cli.common import settings
from daemon.client.enrolling import enroll
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.control.server import Message
from daemon.model_files import model_files
from daemon.speaking.said_whole import said_whole
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voices.catalogue import HIBARI, PIPER, VoiceNeeds, open_voice
from tests.bench.world import fresh_state, settings_of, speak
from tests.support.places import SUPPORT

SCRIPT = SUPPORT / "virtual_mic.sh"
MOST_GAP_SECONDS, MOST_OF_STACK = 0.9, 0.4
STACK_SILENCE_SECONDS = 0.7
LEAST_NOTICED = 0.95
_PATIENCE_SECONDS = 60.0
_LOUD = 0.02
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

    def next(self, *kinds: str, seconds: float = _PATIENCE_SECONDS) -> Message | None:
        """The next event of one of `kinds`; None if none comes in time."""
        until = time.monotonic() + seconds
        with suppress(queue.Empty):
            while (left := until - time.monotonic()) > 0:
                event = self.events.get(timeout=left)
                if event["event"] in kinds:
                    return event
        return None

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
    loud = np.flatnonzero(np.abs(said) > _LOUD)
    return after + place + int(loud[-1])


def first_sound(recorded: Float32, after: int) -> int | None:
    """The first sample of a sound that begins after sample `after`."""
    quiet = 800
    loud = np.flatnonzero(np.abs(recorded[after + quiet :]) > _LOUD)
    return after + quiet + int(loud[0]) if len(loud) else None


def gaps(sound: Sound, listener: Listener, paths: list[Path]) -> list[float]:
    """Seconds between the end of each request and the first sound of its reply."""
    found = []
    for path in paths:
        before = len(sound.recorded())
        sound.play(path)
        said = listener.next("said")
        time.sleep(1.5)
        if said is None or not said["seconds"]:
            continue
        recorded = sound.recorded()
        samples, _ = soundfile.read(path, dtype="float32")
        end = ends_at(recorded, samples, max(0, before - SAMPLE_RATE_HZ))
        reply = first_sound(recorded, end)
        if reply is not None:
            found.append((reply - end) / SAMPLE_RATE_HZ)
    return found


class Stack:
    """Speech to text, a language model and a voice, one after another, as people put them
    together."""

    def __init__(self) -> None:
        from faster_whisper import WhisperModel

        from engines.llm.chat_model import LlamaCppLanguageModel
        from engines.llm.vocabulary import Vocabulary

        files = model_files(settings())
        self._whisper = WhisperModel(
            str(files.encoder_weights), device="cpu", compute_type="int8", cpu_threads=2
        )
        vocabulary = Vocabulary(files.language_model)
        self._chat = LlamaCppLanguageModel(
            files.language_model, vocabulary, settings().conversation.system_prompt
        )
        needs = VoiceNeeds(settings().cache_dir)
        try:
            self._voice = open_voice(PIPER, needs)
        except AttuneError:
            self._voice = open_voice(HIBARI, needs)
        self.voice = self._voice.name

    def gap(self, path: Path) -> float:
        """The seconds from the end of a request to the first sound of the reply, had this stack
        answered it."""
        samples, _ = soundfile.read(path, dtype="float32")
        began = time.perf_counter()
        heard = " ".join(part.text for part in self._whisper.transcribe(samples)[0]).strip()
        reply = "".join(
            self._chat.reply(heard or "Hello.", settings().conversation.max_reply_tokens)
        )
        said_whole(self._voice, reply or "Yes.")
        return STACK_SILENCE_SECONDS + time.perf_counter() - began


def learn_pauses(socket: Path, folder: Path) -> str:
    """Enrol a speaker, wait until the pauses are learnt, and return what ends a turn now."""
    for _ in enroll(socket, folder / "enrol.jsonl", False, _PATIENCE_SECONDS):
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


def replies_alone(listener: Listener, socket: Path, count: int) -> dict[str, Any]:
    """What replies cause that nobody answers."""
    caused = stopped = 0
    for number in range(count):
        stopped += say(socket, TEXTS[number % len(TEXTS)])["stopped"]
        caused += listener.next("speech", seconds=1.2) is not None
    return {"replies": count, "turns_caused": caused, "stopped_by_themselves": stopped}


def barge_ins(
    sound: Sound, listener: Listener, socket: Path, paths: list[Path], count: int
) -> dict[str, Any]:
    """How many replies end over which somebody begins to speak, and how soon."""
    sounding_on = []
    for number in range(count):
        path = paths[number % len(paths)]
        silent_at: queue.SimpleQueue[int | None] = queue.SimpleQueue()

        def speak_on(silent_at: "queue.SimpleQueue[int | None]" = silent_at) -> None:
            stopped = say(socket, LONG_TEXT)["stopped"]
            silent_at.put(len(sound.recorded()) if stopped else None)

        threading.Thread(target=speak_on, daemon=True).start()
        time.sleep(2.0)
        before = len(sound.recorded())
        sound.play(path)
        samples, _ = soundfile.read(path, dtype="float32")
        silent = silent_at.get(timeout=_PATIENCE_SECONDS)
        if silent is not None:
            ended = ends_at(sound.recorded(), samples, before - SAMPLE_RATE_HZ // 2)
            loud = np.flatnonzero(np.abs(samples) > _LOUD)
            onset = ended - int(loud[-1] - loud[0])
            sounding_on.append((silent - onset) / SAMPLE_RATE_HZ)
        listener.next("turn", "turn_failed", seconds=5.0)
        list(request(socket, {"command": "stop"}, 30))
        time.sleep(0.5)
    return {
        "replies": count,
        "noticed": len(sounding_on),
        "seconds_from_onset_to_silence": spread(sounding_on),
    }


def spread(values: list[float]) -> dict[str, float]:
    """The median and the 95th percentile of `values`."""
    if not values:
        return {}
    found = np.quantile(values, [0.5, 0.95])
    return {"median": round(float(found[0]), 2), "of_95_in_100": round(float(found[1]), 2)}


def say(socket: Path, text: str) -> Message:
    return list(request(socket, {"command": "say", "text": text}, 120))[-1]


TEXTS = (
    "The kitchen light is on now, and the one in the hall is off.",
    "It is half past seven, and your timer has ten minutes left.",
    "Tomorrow it will rain in the morning, and the sun will shine in the afternoon.",
    "I have added bread, butter and six eggs to your shopping list.",
    "The bathroom is at twenty one degrees, which is warmer than this morning.",
)
LONG_TEXT = " ".join(TEXTS)


def main() -> int:
    """Run the bench and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speaker", action="append", choices=("clear", "atypical"))
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--replies", type=int, default=100)
    parser.add_argument("--state", type=Path, help="a state that has learnt, for the requests")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speakers = given.speaker or ["clear"]
        paths = {one: requests_of(one, given.requests, folder) for one in speakers}
        stack = Stack()
        found["stack_voice"] = stack.voice
        for speaker in speakers:
            found[speaker] = {"stack": spread([stack.gap(path) for path in paths[speaker]])}
        del stack
        sound = Sound(folder / "sound")
        try:
            state = given.state or fresh_state(folder / "state")
            more: dict[str, object] = {"AUDIO__SOURCE": "", "AUDIO__DEVICE": "vmic"}
            socket = folder / "a.sock"
            with private_daemon(settings_of(state, socket, **more), folder / "daemon.log"):
                time.sleep(5.0)
                listener = Listener(socket)
                for text in TEXTS[:2]:  # the echo canceller learns the room
                    say(socket, text)
                for speaker in speakers:
                    found[speaker] |= {"end_of_turn": learn_pauses(socket, folder / speaker)}
                    gaps_found = gaps(sound, listener, paths[speaker])
                    found[speaker] |= {"gap": spread(gaps_found), "replies": len(gaps_found)}
                    stack_gap = found[speaker]["stack"]["median"]
                    found[speaker]["of_stack"] = round(
                        found[speaker]["gap"].get("median", 99.0) / stack_gap, 2
                    )
                if given.replies:
                    found["alone"] = replies_alone(listener, socket, given.replies)
                    found["barge_in"] = barge_ins(
                        sound, listener, socket, paths[speakers[0]], given.replies
                    )
        finally:
            sound.close()
    print(json.dumps(found, indent=1))
    return 0 if meets(found, speakers) else 1


def meets(found: dict[str, Any], speakers: list[str]) -> bool:
    """Whether all aims are met."""
    quick = all(
        found[speaker]["gap"].get("median", 99.0) <= MOST_GAP_SECONDS
        and found[speaker]["of_stack"] <= MOST_OF_STACK
        for speaker in speakers
    )
    if "alone" not in found:
        return quick
    noticed = found["barge_in"]["noticed"] >= LEAST_NOTICED * found["barge_in"]["replies"]
    return quick and not found["alone"]["turns_caused"] and noticed


if __name__ == "__main__":
    sys.exit(main())
