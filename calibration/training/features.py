"""What a recogniser makes of recordings, computed once and cached: encoder frames, first-pass
transcripts, and transcripts. Knows no training."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from engines.audio.pieces import PauseCutter
from engines.audio.recordings import read_audio
from engines.encryption.files import UnreadableError, read_file, write_file
from engines.jobs.messages import EngineFiles, Example
from engines.routes import Transcriber
from engines.types import Float32, Transcript
from engines.whisper.encoder import MAX_SECONDS, SpeechEncoder
from engines.whisper.recogniser import Recogniser
from engines.whisper.transcriber import WhisperTranscriber

from .opening import key_of, open_file

_DECODED_BY = 4
"""A part of the name of each cached transcript; it is raised when a decoder changes, so that older
transcripts are made anew."""


@dataclass(frozen=True)
class Piece:
    """A part of an utterance, as long as is decoded at once."""

    frames: Float32
    """[T, D] encoder frames."""
    first_pass: Callable[[], Transcript]
    """Decodes the first-pass transcript of the frames."""


@dataclass
class Features:
    """The frames and transcripts of examples by one recogniser, from `folder` or computed and put
    there; engines are opened when first needed."""

    engines: EngineFiles
    folder: Path
    threads: int
    recogniser: Path | None
    """The file of the recogniser; None for Whisper as it came."""

    @cached_property
    def opened(self) -> Recogniser:
        return open_file(self.recogniser, self.engines, self.threads)

    @cached_property
    def _transcriber(self) -> Transcriber:
        """Transcribes as the cascade does."""
        if self.recogniser is not None:
            return self.opened
        engines = self.engines
        return WhisperTranscriber(engines.encoder_weights, self.threads, language=engines.language)

    @cached_property
    def _cutter(self) -> PauseCutter:
        return PauseCutter()

    @cached_property
    def _key(self) -> str:
        return key_of(self.recogniser, self.engines)

    def _place(self, name: str, ending: str) -> Path:
        return self.folder / f"{name}.{self._key}.{ending}"

    def frames(self, example: Example) -> Float32:
        """The encoder frames [T, D] of the whole recording. Raises AttuneError where the audio
        cannot be read."""
        return self._frames(example.id, lambda: read_audio(example.audio, MAX_SECONDS))

    def first_pass(self, example: Example) -> Transcript:
        """The first-pass transcript of the whole recording."""
        return self._first_pass(example.id, lambda: self.frames(example))

    def pieces(self, example: Example) -> list[Piece]:
        """The pieces of the example that the aligned route decodes: cut where it is long, without
        silence, and none where nobody speaks.

        Raises AttuneError where the audio cannot be read.
        """
        samples = read_audio(example.audio, MAX_SECONDS)
        found = self._cutter.cut(samples)
        if [len(piece) for piece in found] == [len(samples)]:
            return [Piece(self.frames(example), lambda: self.first_pass(example))]
        return [self._piece(f"{example.id}.{number}", piece) for number, piece in enumerate(found)]

    def _piece(self, key: str, samples: Float32) -> Piece:
        frames = self._frames(key, lambda: samples)
        return Piece(frames, lambda: self._first_pass(key, lambda: frames))

    def _frames(self, key: str, samples: Callable[[], Float32]) -> Float32:
        return cached_frames(samples, self._place(key, "npy"), lambda: self.opened.encoder)

    def _first_pass(self, key: str, frames: Callable[[], Float32]) -> Transcript:
        # The name of files that are stored.
        path = self._place(key, f"draft{_DECODED_BY}.json")
        return cached_transcript(path, lambda: self.opened.decoder.decode(frames()))

    def transcript(self, example: Example) -> Transcript:
        """The transcript of the whole recording, as the cascade hears it."""
        return cached_transcript(
            self._place(example.id, f"transcript{_DECODED_BY}.json"),
            lambda: self._transcriber.transcribe(read_audio(example.audio, MAX_SECONDS)),
        )


def cached_frames(
    samples: Callable[[], Float32], path: Path, encoder: Callable[[], SpeechEncoder]
) -> Float32:
    """The frames [T, D] of `samples` in float16 precision, from the file `path`, or computed and
    put there.

    A cache file that does not load is computed anew. Raises what reading the samples raises.
    """
    try:
        content = io.BytesIO(read_file(path))
        cached: Float32 = np.load(content, allow_pickle=False).astype(np.float32)
        return cached
    except FileNotFoundError:
        pass
    except (ValueError, EOFError, OSError, UnreadableError):
        path.unlink(missing_ok=True)
    frames = encoder().encode(samples()).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.save(content, frames)
    write_file(path, content.getvalue())
    return frames.astype(np.float32)


def cached_transcript(path: Path, make: Callable[[], Transcript]) -> Transcript:
    """The transcript from the file `path`, or from `make`, and put there."""
    try:
        kept = json.loads(read_file(path))
        lists = {name: tuple(kept.get(name, ())) for name in ("doubtful", "others")}
        return Transcript(**{**kept, **lists})
    except (OSError, UnreadableError, ValueError, TypeError):
        pass  # not made yet, cut short when written, or of another time
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(asdict(made)).encode())
    return made
