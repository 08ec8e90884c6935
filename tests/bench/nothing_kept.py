"""Lets a real daemon hear speech for so many minutes without its user's consent, by the capture
path, by HTTP and by Wyoming, and looks for it in every file that is there afterwards.

    python -m tests.bench.nothing_kept --minutes 60

Prints what was heard, and each file in which anything of it was found. The exit code is 1 if there
is one.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from daemon.cli.common import settings as installed
from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from daemon.config.installation_key import protect_state
from daemon.config.settings import Settings
from engines.audio.recordings import read_audio, write_flac
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL, read_prompts
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.bench.endurance import share_models
from tests.bench.world import fresh_state, settings_of
from tests.support.content import content_of
from tests.support.http_house import HttpClient, free_port

_PAUSE = np.zeros(SAMPLE_RATE_HZ, np.float32)
_LEAST_CHARACTERS = 12
"""Shorter texts, such as "Yes.", stand in files that have nothing to do with them."""
_AT_ONCE_SECONDS = 600.0
_PATTERN_SAMPLES = 40


@dataclass
class Said:
    """What was said, as it could be found again."""

    seconds: float = 0.0
    texts: set[str] = field(default_factory=set)
    sounds: set[bytes] = field(default_factory=set)

    def note(self, samples: Float32) -> None:
        """Note a few pieces of sound, in both forms in which samples are held."""
        self.seconds += len(samples) / SAMPLE_RATE_HZ
        loud = np.flatnonzero(np.abs(samples) > 0.1)
        for place in loud[:: max(1, len(loud) // 5)]:
            part = samples[place : place + _PATTERN_SAMPLES]
            self.sounds |= {part.tobytes(), np.round(part * 32768).astype("<i2").tobytes()}

    def found_in(self, folder: Path) -> list[str]:
        """The files of `folder` in which there is anything of it, with what there is."""
        forms = {"fLaC": b"fLaC", "an array": b"\x93NUMPY"}
        texts = {text: text.encode() for text in self.texts if len(text) >= _LEAST_CHARACTERS}
        found = []
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            content = content_of(path)
            marks = [mark for mark, form in (forms | texts).items() if form in content]
            marks += ["sound"] if any(sound in content for sound in self.sounds) else []
            found += [f"{path}: {mark}" for mark in marks]
        return found


def hear(minutes: float, folder: Path, agreed: bool = False) -> tuple[Said, list[str]]:
    """Let a daemon whose files are all under `folder` hear `minutes` of speech. Returns what was
    said, and where it was found. With `agreed`, its user wants it kept."""
    state, cache, run, temporary = (folder / name for name in ("state", "cache", "run", "tmp"))
    for one in (cache, run, temporary):
        one.mkdir(parents=True)
    share_models(cache)
    http, wyoming = free_port(), free_port()
    settings = settings_of(
        fresh_state(state, agreed=agreed),
        run / "a.sock",
        CACHE_DIR=cache,
        HTTP__ADDRESS=f"127.0.0.1:{http}",
        WYOMING__ADDRESS=f"127.0.0.1:{wyoming}",
        IDLE__ENABLED=True,
        IDLE__QUIET_SECONDS=1,
    )
    os.environ["TMPDIR"] = str(temporary)
    prompts = [
        read_audio(prompt.audio)
        for prompt in read_prompts(model_path(GENERAL_MODEL, installed().cache_dir))
    ]
    said = Said()
    with tempfile.TemporaryDirectory(dir=folder.parent) as outside:  # the client's own files
        with private_daemon(settings, folder / "daemon.log", keeps=agreed):
            client = HttpClient(http)
            left = 60.0 * minutes
            while left > 0:
                piece = _piece(prompts, min(left, _AT_ONCE_SECONDS), said)
                left -= len(piece) / SAMPLE_RATE_HZ
                recording = Path(outside, "said.flac")
                write_flac(recording, piece)
                what = {"command": "listen", "audio": recording}
                for event in request(run / "a.sock", what, 3600):
                    said.texts |= {str(event.get("heard", "")), str(event.get("reply", ""))}
            short = _piece(prompts, 40.0, said)
            write_flac(recording, short)
            answer = client.upload("/v1/audio/transcriptions", recording.read_bytes())
            said.texts.add(json.loads(answer.body)["text"])
            said.texts.add(asyncio.run(_by_wyoming(wyoming, _piece(prompts, 8.0, said))))
            secret = "my aunt keeps seventeen xylophones in the attic"
            client.chat(secret)
            list(request(run / "a.sock", {"command": "ask", "text": secret}, 60))
            said.texts.add(secret)
        protect_state(Settings(state_dir=state, cache_dir=cache))
        return said, said.found_in(folder)


def _piece(prompts: list[Float32], seconds: float, said: Said) -> Float32:
    """So much speech, with a second of silence after each sentence."""
    parts: list[Float32] = []
    length, number = 0, len(said.texts)
    while length < seconds * SAMPLE_RATE_HZ:
        samples = prompts[number % len(prompts)]
        number += 1
        said.note(samples)
        parts += [samples, _PAUSE]
        length += len(samples) + len(_PAUSE)
    return np.concatenate(parts)


async def _by_wyoming(port: int, samples: Float32) -> str:
    form = {"rate": SAMPLE_RATE_HZ, "width": 2, "channels": 1}
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Transcribe().event())
        await client.write_event(AudioStart(**form).event())
        pcm = np.round(samples * 32767).astype("<i2").tobytes()
        for start in range(0, len(pcm), 32_000):
            chunk = AudioChunk(audio=pcm[start : start + 32_000], **form)
            await client.write_event(chunk.event())
        await client.write_event(AudioStop().event())
        while (event := await client.read_event()) is not None:
            if Transcript.is_type(event.type):
                return Transcript.from_event(event).text
    raise AssertionError("no transcript came")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    with tempfile.TemporaryDirectory(prefix="attune-") as name:
        said, found = hear(parser.parse_args().minutes, Path(name, "daemon"))
    texts = sum(len(text) >= _LEAST_CHARACTERS for text in said.texts)
    print(f"{said.seconds / 60:.1f} minutes of speech; {texts} texts and {len(said.sounds)} pieces")
    print(f"of sound were looked for; found {len(found)}", *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
