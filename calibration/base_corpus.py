"""The synthetic corpus that the shipped base projector learns from, as cached frames. Knows voices and texts, not losses.

The demo's atypical voice (espeak-ng `en-us+m5`) and the voices kept for judging are not in it.
"""

import json
import multiprocessing
import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engines.durable import write_atomically
from engines.encoder_onnx import OnnxEncoder
from engines.errors import AttuneError
from engines.replay_set import MANIFEST
from engines.types import SAMPLE_RATE_HZ

from .request_texts import requests
from .synthesis import SYNTHESIZERS, Voice, require, speak
from .texts import fortune_sentences

_FLITE = ("slt", "rms", "awb", "kal16")
_ESPEAK_LANGUAGES = ("en-us", "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029")
_ESPEAK_VARIANTS = ("", "", "+m1", "+m3", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5", "+linda", "+steph", "+edward")


def random_voice(rng: random.Random) -> Voice:
    """One of the training voices, at a random speed and pitch."""
    speed = rng.randint(125, 190)
    if rng.random() < 0.45:
        return Voice("flite", rng.choice(_FLITE), speed)
    return Voice("espeak-ng", rng.choice(_ESPEAK_LANGUAGES) + rng.choice(_ESPEAK_VARIANTS), speed, rng.randint(25, 75))


def plan(count: int, seed: int) -> list[tuple[str, Voice]]:
    """`count` pairs of text and voice: a quarter requests, the rest fortunes."""
    rng = random.Random(seed)
    sentences = fortune_sentences()
    rng.shuffle(sentences)
    texts = sentences[: count * 3 // 4]
    texts += requests(count - len(texts), rng)
    rng.shuffle(texts)
    return [(text, random_voice(rng)) for text in texts]


_encoder: OnnxEncoder


def _open_encoder(path: Path) -> None:
    global _encoder
    _encoder = OnnxEncoder(path, threads=1)


def _make_one(task: tuple[int, str, Voice, Path]) -> dict[str, object] | None:
    index, text, voice, folder = task
    path = folder / f"{index:06d}.npy"
    try:
        samples = speak(text, voice)
    except AttuneError:
        return None  # a voice that cannot say this sentence; the manifest shows how many were made
    if not 0.3 < len(samples) / SAMPLE_RATE_HZ < 20:
        return None
    gain = random.Random(index).uniform(0.3, 1.5)
    frames = _encoder.encode(np.clip(samples * gain, -1, 1)).astype(np.float16)
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        np.save(file, frames)
    os.replace(beside, path)
    seconds = len(samples) / SAMPLE_RATE_HZ
    return {"frames": path.name, "text": text, "seconds": round(seconds, 2), "voice": asdict(voice)}


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """What the manifest in `folder` lists, without what a killed build left of its last line; empty where there is none."""
    try:
        lines = (folder / MANIFEST).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def build(folder: Path, encoder: Path, count: int, seed: int, workers: int) -> None:
    """Speak and encode `count` sentences into `folder`, with a `manifest.jsonl`. What is there already is kept.

    Raises AttuneError where a synthesizer is not installed: sentence by sentence that would pass for one that cannot be spoken.
    """
    for name in SYNTHESIZERS:
        require(name)
    folder.mkdir(parents=True, exist_ok=True)
    manifest, rows = folder / MANIFEST, read_rows(folder)
    write_atomically(manifest, "".join(json.dumps(row) + "\n" for row in rows).encode())
    done = {row["frames"] for row in rows}
    tasks = [(i, t, v, folder) for i, (t, v) in enumerate(plan(count, seed)) if f"{i:06d}.npy" not in done]
    with (
        multiprocessing.Pool(workers, _open_encoder, (encoder,)) as pool,
        manifest.open("a") as log,
    ):
        for row in pool.imap_unordered(_make_one, tasks, chunksize=8):
            if row is not None:
                print(json.dumps(row), file=log, flush=True)
