"""A voice in a process of its own: `python -m engines.voices.voice_process NAME NEEDS`, where NEEDS
is a JSON object. It takes a text a line from its standard input, as JSON, and writes the sound of
each to its standard output. It ends when its input does.

A voice takes 130 to 500 MB, most of which Python keeps once it was used; a process gives it back.
And a voice that hangs or crashes takes this process with it and not the daemon.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..device.process_time import Patience
from ..errors import AttuneError
from ..jobs.programs import VOICE, program
from ..schema import Frozen
from ..types import Float32
from .automatic import open_wanted
from .catalogue import VoiceNeeds
from .voice import Voice

PROCESSOR_LIMIT_SECONDS = 120.0
"""Most processor time that a voice may take to be opened and measured, or to say one clause."""
ASLEEP_LIMIT_SECONDS = 20.0
"""Most time that it may meanwhile do nothing at all."""
_LOOK_SECONDS = 1.0
_MOST_SAMPLES = 1 << 24
_PIECE_BYTES = 1 << 16
_ENDED = "the process of the voice ended"


class _Answer(Frozen):
    """What the process says before the sound."""

    name: str = ""
    rate_hz: int = 0
    samples: int = 0
    """Samples that follow, float32 in the byte order of the machine."""
    problem: str = ""


def open_in_process(name: str, needs: VoiceNeeds, command: Sequence[str] = ()) -> Voice:
    """Open the voice `name`, or the one that `auto` means, in a process of its own, which lives
    until the voice is closed. `command` is what starts it.

    Raises AttuneError as `open_wanted` does, and where the process cannot be started, hangs or
    dies; so does the voice, which cannot be used any more then.
    """
    given = json.dumps({**asdict(needs), "cache_dir": str(needs.cache_dir)})
    try:
        child = _Child([*(command or program(VOICE)), name, given])
    except OSError as error:
        raise AttuneError(f"the voice {name} cannot be started ({error.strerror})") from error
    try:
        opened, _ = child.answer()
    except AttuneError:
        child.close()
        raise

    def speak(text: str) -> Float32:
        return child.ask(text)

    return Voice(opened.name, opened.rate_hz, speak, child.close)


class _Child:
    """One such process."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for the daemon
        )
        self._asking = threading.Lock()

    def ask(self, text: str) -> Float32:
        """What the voice says of `text`. Raises AttuneError where it fails."""
        with self._asking:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(text).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError):  # ValueError: it was closed
                raise AttuneError(_ENDED) from None
            return self.answer()[1]

    def answer(self) -> tuple[_Answer, Float32]:
        """What the process answers next, and the sound after it. Raises AttuneError where that is a
        problem, or nothing comes."""
        patience = Patience(self._process.pid, PROCESSOR_LIMIT_SECONDS, ASLEEP_LIMIT_SECONDS)
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self._read(1, patience)
        answer = _Answer.model_validate_json(line)
        if answer.problem:
            raise AttuneError(answer.problem)
        left, sound = 4 * min(answer.samples, _MOST_SAMPLES), bytearray()
        while left > len(sound):
            sound += self._read(left - len(sound), patience)
        return answer, np.frombuffer(bytes(sound), np.float32)

    def _read(self, most_bytes: int, patience: Patience) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        readable = select.poll()
        readable.register(pipe, select.POLLIN)
        while not readable.poll(1000 * _LOOK_SECONDS):
            if why := patience.look(time.monotonic()):
                os.killpg(self._process.pid, signal.SIGKILL)
                raise AttuneError(f"the voice hung: its process {why}")
        read = os.read(pipe, min(most_bytes, _PIECE_BYTES))
        if not read:
            raise AttuneError(_ENDED)
        return read

    def close(self) -> None:
        """End the process, also while another thread waits for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and a command that it may have started
        self._process.wait()
        with self._asking:
            with suppress(OSError):
                self._process.stdin.close()
            self._process.stdout.close()


def main(name: str, needs: VoiceNeeds, texts: BinaryIO, sounds: BinaryIO) -> None:
    """Open the voice, and say one text after another."""
    try:
        voice = open_wanted(name, needs)
    except AttuneError as error:
        _write(sounds, _Answer(problem=str(error)))
        return
    _write(sounds, _Answer(name=voice.name, rate_hz=voice.rate_hz))
    for line in texts:
        try:
            said = np.ascontiguousarray(voice.speak(json.loads(line)), np.float32)[:_MOST_SAMPLES]
            _write(sounds, _Answer(samples=len(said)), said.tobytes())
        except AttuneError as error:
            _write(sounds, _Answer(problem=str(error)))


def _write(sounds: BinaryIO, answer: _Answer, sound: bytes = b"") -> None:
    sounds.write(answer.model_dump_json().encode() + b"\n" + sound)
    sounds.flush()


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    wanted, given = sys.argv[1], json.loads(sys.argv[2])
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a package prints is no answer
        main(
            wanted,
            VoiceNeeds(**{**given, "cache_dir": Path(given["cache_dir"])}),
            sys.stdin.buffer,
            answers,
        )
