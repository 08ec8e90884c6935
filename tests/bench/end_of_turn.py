"""`make bench-end-of-turn`: whether people are let finish and quick ones answered sooner, through a
sound server whose microphone hears what is played. Prints JSON.

1. A speaker who pauses for up to 1.5 s within sentences enrols five minutes of them, and says
   others: how many are heard, and how many are cut; and how many of some with 0.6 s of silence.
2. A quick speaker enrols, and asks: the gap before the reply with the silence that was learnt, and
   with 0.6 s.

Exits with 1 where an aim is missed: at most 2 of 100 sentences cut, and no longer gap.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from calibration.corpus.training_requests import requests
from daemon.client.temporary_daemon import private_daemon
from daemon.speaking.said_whole import said_whole
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.voices.catalogue import HIBARI, VoiceNeeds, open_voice
from tests.bench.sound_server import Listener, Sound, gaps, learn_pauses, requests_of, spread
from tests.bench.world import Rows, fresh_state, settings_of, write_rows

FIXED_SECONDS = 0.6
LONGEST_PAUSE_SECONDS, PAUSING_SHARE = 1.5, 0.6
ENROL_SECONDS = 300.0
MOST_CUT_SHARE = 0.02
_SETTLE_SECONDS = 4.0


def pausing_speaker(folder: Path, count: int) -> tuple[Rows, Rows]:
    """Five minutes of sentences to enrol, and `count` others, as rows of audio and text. Three of
    five have a pause in their middle, of up to LONGEST_PAUSE_SECONDS."""
    folder.mkdir(parents=True)
    voice = open_voice(HIBARI, VoiceNeeds(folder))
    generator = random.Random(26)
    enrolled: Rows = []
    asked: Rows = []
    enrolled_seconds = 0.0

    def say(text: str) -> Float32:
        samples: Float32 = soxr.resample(said_whole(voice, text), voice.rate_hz, SAMPLE_RATE_HZ)
        loud = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())
        return samples[loud[0] : loud[-1]]

    for number, text in enumerate(t for t in requests(4000, generator) if len(t.split()) > 3):
        words = text.split()
        pause = generator.random() < PAUSING_SHARE
        seconds = generator.uniform(0.2, LONGEST_PAUSE_SECONDS) if pause else 0.0
        silence = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
        middle = len(words) // 2
        first, second = " ".join(words[:middle]), " ".join(words[middle:])
        said = np.concatenate([say(first), silence, say(second)]) if pause else say(text)
        said = 0.08 * said / np.sqrt(np.mean(said[np.abs(said) > 0] ** 2))
        path = folder / f"{number}.wav"
        soundfile.write(path, said.clip(-0.95, 0.95), SAMPLE_RATE_HZ)
        row = {"audio": str(path), "text": text}
        if enrolled_seconds < ENROL_SECONDS:
            enrolled.append(row)
            enrolled_seconds += len(said) / SAMPLE_RATE_HZ
        elif len(asked) < count:
            asked.append(row)
        else:
            break
    return enrolled, asked


def taken_up(sound: Sound, listener: Listener, paths: list[Path]) -> dict[str, int]:
    """How many of the sentences in `paths` were heard, and how many were taken for more than one
    turn."""
    heard = cut = 0
    for path in paths:
        listener.drop()
        sound.play(path)
        turns = 0
        until = time.monotonic() + _SETTLE_SECONDS
        while (left := until - time.monotonic()) > 0:
            turns += listener.next("speech_ended", seconds=left) is not None
        heard += turns > 0
        cut += turns > 1
    return {"sentences": len(paths), "heard": heard, "cut": cut}


def main() -> int:
    """Run the bench and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--requests", type=int, default=20)
    given = parser.parse_args()
    found: dict[str, Any] = {"pausing": {}, "quick": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        enrolled, asked = pausing_speaker(folder / "pausing", given.sentences)
        write_rows(folder / "pausing" / "enrol.jsonl", enrolled)
        quick = requests_of("clear", given.requests, folder)
        socket = folder / "a.sock"
        microphone: dict[str, object] = {"AUDIO__SOURCE": "", "AUDIO__DEVICE": "vmic"}
        sound = Sound(folder / "sound")
        try:
            state = fresh_state(folder / "pausing-state")
            # Dictation ends turns as the assistant does, and says nothing that has to end first.
            of_pausing = settings_of(state, socket, CONVERSATION__MODE="dictate", **microphone)
            with private_daemon(of_pausing, folder / "pausing.log"):
                listener = Listener(socket)
                learnt = learn_pauses(socket, folder / "pausing")
                paths = [Path(row["audio"]) for row in asked]
                found["pausing"] = {"end_of_turn": learnt, **taken_up(sound, listener, paths)}
            # What would have been cut: or else nothing says that a cut is seen.
            fixed = {**of_pausing, "SEGMENTER__END_SILENCE_SECONDS": str(FIXED_SECONDS)}
            with private_daemon(fixed, folder / "fixed.log"):
                time.sleep(2.0)
                some = paths[: max(10, len(paths) // 5)]
                found["pausing_with_fixed"] = taken_up(sound, Listener(socket), some)
            state = fresh_state(folder / "quick-state")
            for silence in ("auto", FIXED_SECONDS):
                more = {**microphone, "SEGMENTER__END_SILENCE_SECONDS": silence}
                with private_daemon(settings_of(state, socket, **more), folder / "quick.log"):
                    listener = Listener(socket)
                    time.sleep(2.0)
                    learnt = learn_pauses(socket, folder / "clear") if silence == "auto" else "set"
                    seconds = [gap.seconds for gap in gaps(sound, listener, quick)]
                    found["quick"][str(silence)] = {"end_of_turn": learnt, "gap": spread(seconds)}
        finally:
            sound.close()
    print(json.dumps(found, indent=1))
    return 0 if meets(found) else 1


def meets(found: dict[str, Any]) -> bool:
    """Whether both aims are met."""
    pausing, quick = found["pausing"], found["quick"]
    all_heard = pausing["heard"] == pausing["sentences"]
    finishes = all_heard and pausing["cut"] <= MOST_CUT_SHARE * pausing["sentences"]
    learnt, fixed = (quick[str(silence)]["gap"] for silence in ("auto", FIXED_SECONDS))
    return bool(finishes and learnt.get("median", 99.0) <= fixed.get("median", 0.0))


if __name__ == "__main__":
    sys.exit(main())
