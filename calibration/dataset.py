"""Labelled utterances as training samples, their encoder frames computed once and cached. Knows no losses."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from engines.audio import read_audio
from engines.durable import write_atomically
from engines.encoder_onnx import MAX_SECONDS, OnnxEncoder
from engines.spoken_text import spoken_tokens
from engines.types import Float16, Float32, Transcript
from engines.vocabulary import Vocabulary

from .cif import GROUPS_PER_UNIT
from .samples import Sample


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


def make_sample(frames: Float16 | Float32, text: str, draft: str, vocabulary: Vocabulary, stack: int) -> Sample | None:
    """A training sample, or None where the text has more tokens than its audio can make units (a wrong label)."""
    tokens = spoken_tokens(text, vocabulary)
    groups = len(frames) // stack
    if not tokens or groups < GROUPS_PER_UNIT * len(tokens):
        return None
    halves = np.ascontiguousarray(frames[: groups * stack], np.float16)
    stacked = torch.from_numpy(halves).view(groups, stack * frames.shape[1])
    return Sample(stacked, torch.tensor(tokens), torch.tensor(spoken_tokens(draft, vocabulary), dtype=torch.int64))
