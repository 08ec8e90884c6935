"""`make bench-spoken`: how a spoken conversation goes, through a sound server with a loudspeaker
that the microphone hears. Prints JSON.

1. The gap between the last sample of a request and the first sample of its reply, as recorded from
   the loudspeaker, beside that of a stack as people build it, computed in the same run: 0.7 s of
   silence, faster-whisper tiny.en, the same language model to its end, and a voice on the whole
   reply. Without Piper's voice the stack speaks with the one that Attune uses. The gaps of replies
   by abilities stand apart, too.
2. Replies at conversation level that nobody answers: the turns that they cause.
3. Replies over which somebody begins to speak: how many end, and how long they sound on.

Needs Debian's pulseaudio, pulseaudio-utils and libasound2-plugins; no sound card. Exits with 1
where an aim is missed: a median gap of at most 0.9 s and at most 0.4 of the stack's, no turn that a
reply causes, and 95 of 100 replies that end because somebody begins to speak.
"""

import argparse
import json
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from daemon.cli.common import settings
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.control.server import Message
from daemon.model_files import model_files
from daemon.speaking.said_whole import said_whole
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ
from engines.voices.catalogue import HIBARI, PIPER, VoiceNeeds, open_voice
from tests.bench.sound_server import (
    LOUD,
    PATIENCE_SECONDS,
    Listener,
    Sound,
    ends_at,
    gaps,
    learn_pauses,
    requests_of,
    spread,
)
from tests.bench.world import fresh_state, settings_of

MOST_GAP_SECONDS, MOST_OF_STACK = 0.9, 0.4
STACK_SILENCE_SECONDS = 0.7
LEAST_NOTICED = 0.95


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


def replies_alone(listener: Listener, socket: Path, count: int) -> dict[str, Any]:
    """What replies cause that nobody answers."""
    caused = stopped = failed = 0
    for number in range(count):
        try:
            stopped += say(socket, TEXTS[number % len(TEXTS)])["stopped"]
        except AttuneError as error:  # a sound server without priority stands still now and then
            failed += 1
            print(f"reply {number} was not said: {error}", file=sys.stderr)
        caused += listener.next("speech", seconds=1.2) is not None
    return {
        "replies": count,
        "turns_caused": caused,
        "stopped_by_themselves": stopped,
        "not_said": failed,
    }


def barge_ins(
    sound: Sound, listener: Listener, socket: Path, paths: list[Path], count: int
) -> dict[str, Any]:
    """How many replies end over which somebody begins to speak, and how soon."""
    sounding_on = []
    for number in range(count):
        path = paths[number % len(paths)]
        silent_at: queue.SimpleQueue[int | None] = queue.SimpleQueue()

        def speak_on(silent_at: "queue.SimpleQueue[int | None]" = silent_at) -> None:
            try:
                stopped = say(socket, LONG_TEXT)["stopped"]
            except AttuneError as error:
                stopped = False
                print(f"a reply was not said: {error}", file=sys.stderr)
            silent_at.put(len(sound.recorded()) if stopped else None)

        threading.Thread(target=speak_on, daemon=True).start()
        time.sleep(2.0)
        before = len(sound.recorded())
        sound.play(path)
        samples, _ = soundfile.read(path, dtype="float32")
        silent = silent_at.get(timeout=PATIENCE_SECONDS)
        if silent is not None:
            ended = ends_at(sound.recorded(), samples, before - SAMPLE_RATE_HZ // 2)
            loud = np.flatnonzero(np.abs(samples) > LOUD)
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
                    by_ability = [one.seconds for one in gaps_found if one.by_ability]
                    by_model = [one.seconds for one in gaps_found if not one.by_ability]
                    found[speaker] |= {
                        "gap": spread([one.seconds for one in gaps_found]),
                        "gap_of_abilities": spread(by_ability) | {"replies": len(by_ability)},
                        "gap_of_others": spread(by_model) | {"replies": len(by_model)},
                        "replies": len(gaps_found),
                    }
                    stack_gap = found[speaker]["stack"]["median"]
                    found[speaker]["of_stack"] = round(
                        found[speaker]["gap"].get("median", 99.0) / stack_gap, 2
                    )
                if given.replies:
                    found["alone"] = replies_alone(listener, socket, given.replies)
                    print(json.dumps(found), file=sys.stderr)
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
