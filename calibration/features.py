"""What is heard in recordings once and kept: encoder frames, drafts, the cascade's transcripts. Knows no training."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from engines.audio import read_audio
from engines.draft import Drafter
from engines.durable import write_atomically
from engines.encoder_onnx import OnnxEncoder
from engines.job import EngineFiles, Example
from engines.speech_encoder import MAX_SECONDS
from engines.transcriber import WhisperTranscriber
from engines.types import Float32, Transcript


@dataclass
class Features:
    """Frames and transcripts of examples, from `folder` or made and put there; engines are opened when first needed."""

    engines: EngineFiles
    folder: Path
    threads: int

    @cached_property
    def encoder(self) -> OnnxEncoder:
        return OnnxEncoder(self.engines.encoder, self.threads)

    @cached_property
    def _transcriber(self) -> WhisperTranscriber:
        return WhisperTranscriber(self.engines.encoder_weights, self.threads)

    @cached_property
    def drafter(self) -> Drafter:
        return Drafter(self._transcriber, self.encoder)

    def frames(self, example: Example) -> Float32:
        """[T, D]. Raises AttuneError where the audio cannot be read."""
        return cached_frames(example.audio, example.id, self.folder, lambda: self.encoder)

    def draft(self, example: Example) -> Transcript:
        """What the decoder reads in the frames."""
        return cached_transcript(self.folder / f"{example.id}.draft.json", lambda: self.drafter.draft(self.frames(example)))

    def transcript(self, example: Example) -> Transcript:
        """What the cascade hears."""
        return cached_transcript(
            self.folder / f"{example.id}.transcript.json",
            lambda: self._transcriber.transcribe(read_audio(example.audio, MAX_SECONDS)),
        )


def cached_frames(audio: Path, key: str, folder: Path, encoder: Callable[[], OnnxEncoder]) -> Float32:
    """Frames [T, D] of `audio`, float16 precision, from `folder`/`key`.npy or computed and put there.

    A cache file that does not load is computed anew. Raises AttuneError where the audio cannot be read.
    """
    path = folder / f"{key}.npy"
    try:
        cached: Float32 = np.load(path, allow_pickle=False).astype(np.float32)
        return cached
    except FileNotFoundError:
        pass
    except (ValueError, EOFError, OSError):
        path.unlink(missing_ok=True)
    frames = encoder().encode(read_audio(audio, MAX_SECONDS)).astype(np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    with beside.open("wb") as file:
        np.save(file, frames)
    beside.replace(path)
    return frames.astype(np.float32)


def cached_transcript(path: Path, make: Callable[[], Transcript]) -> Transcript:
    """A transcript from the file `path`, or made and put there."""
    try:
        return Transcript(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        pass  # not made yet, cut short when written, or of another time
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(made)).encode())
    return made
