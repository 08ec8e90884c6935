"""Rewrites a GGUF file in 8-bit weights where this processor runs those faster than the file's own.
Knows no conversation.

llama.cpp multiplies a whole prompt at once only for some of ggml's types. For the others every
token of a prompt costs as much as a token of the reply, and the first token waits for it. Whether 8
bits are faster is measured here, not assumed (docs/adr/0006). GPUs compute the file's own weights
well; they are not considered.
"""

import ctypes
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as llama

from ..errors import AttuneError
from ..files import sha256_of, write_atomically, write_beside
from .gguf_file import has_tensor, kind_of, main_kind
from .model import quiet_backend
from .sequence import LlamaSequence

_log = logging.getLogger(__name__)

_UNBATCHED = {
    gguf.GGMLQuantizationType.Q4_1,
    gguf.GGMLQuantizationType.Q5_0,
    gguf.GGMLQuantizationType.Q5_1,
}
"""The types whose prompts were measured to be slow, and which 8 bits hold without audible loss."""
_PROMPT_TOKENS = 16
"""The length of a spoken request with the closing of its turn."""
_REPLY_TOKENS = 4
_REPEATS = 5
_PROMPT_GAIN = 0.85
"""8 bits are chosen where a prompt takes at most this share of the time,"""
_REPLY_LOSS = 1.3
"""and a token of the reply at most this share."""


@dataclass(frozen=True)
class Comparison:
    """The time of 8-bit weights over that of the file's own weights, on this machine."""

    prompt_ratio: float
    """The ratio for a prompt of 16 tokens."""
    reply_ratio: float
    """The ratio for each token of the reply."""
    copy_bytes: int
    """The size of the 8-bit copy that is served; 0 where the file itself is."""


def served_weights(language_model: Path, cache_dir: Path) -> Path:
    """The file that llama.cpp runs for `language_model`: its 8-bit copy in `cache_dir` where that
    was found faster, else the file itself."""
    comparison, copy = (
        read_comparison(language_model, cache_dir),
        _copy_path(language_model, cache_dir),
    )
    if comparison is None or not comparison.copy_bytes:
        return language_model
    if _is_whole(copy, comparison):
        return copy
    _log.warning(
        "%s is damaged or gone, so the language model runs in its own weights; run `attune engines"
        " build`",
        copy,
    )
    return language_model


def read_comparison(language_model: Path, cache_dir: Path) -> Comparison | None:
    """The comparison for `language_model`; None where there is none that can be read."""
    try:
        return Comparison(**json.loads(_record_path(language_model, cache_dir).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_compared(language_model: Path, cache_dir: Path) -> bool:
    """Whether there is nothing left to measure for `language_model`."""
    if not _worth_a_try(language_model):
        return True
    comparison = read_comparison(language_model, cache_dir)
    return comparison is not None and (
        not comparison.copy_bytes or _is_whole(_copy_path(language_model, cache_dir), comparison)
    )


def compare_weights(
    language_model: Path, cache_dir: Path, time_both: Callable[[Path, Path], tuple[float, float]]
) -> Comparison | None:
    """Write `language_model` in 8-bit weights, time it and the copy with `time_both`, and keep the
    copy where it wins.

    Returns None where the file's own weights are of a type that is computed well. Raises
    AttuneError where the disk is full or the file is damaged; nothing is left behind then.
    """
    if not _worth_a_try(language_model):
        return None
    copy = _copy_path(language_model, cache_dir)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        with write_beside(copy) as beside:
            _requantize(language_model, beside)
        comparison = _timed(language_model, copy, time_both)
        write_atomically(
            _record_path(language_model, cache_dir), json.dumps(asdict(comparison)).encode() + b"\n"
        )
    except OSError as error:
        raise AttuneError(
            f"the 8-bit weights of {language_model.name} could not be written to {copy.parent}:"
            f" {error}"
        ) from error
    return comparison


def _timed(
    language_model: Path, copy: Path, time_both: Callable[[Path, Path], tuple[float, float]]
) -> Comparison:
    """Compare both files; the copy is removed unless it wins."""
    wins = False
    try:
        prompt_ratio, reply_ratio = time_both(language_model, copy)
        wins = prompt_ratio <= _PROMPT_GAIN and reply_ratio <= _REPLY_LOSS
        return Comparison(prompt_ratio, reply_ratio, copy.stat().st_size if wins else 0)
    finally:
        if not wins:
            copy.unlink(missing_ok=True)


def time_both(own: Path, copy: Path, threads: int) -> tuple[float, float]:
    """The time of `copy` over that of `own`, for a short prompt and for a token of the reply.

    They run in turns, so that a machine that slows down slows both; the quickest run of each
    counts.
    """
    sequences = [LlamaSequence(path, 64, threads, None) for path in (own, copy)]
    try:
        prompts, replies = ([float("inf")] * 2 for _ in range(2))
        for _ in range(_REPEATS):
            for index, sequence in enumerate(sequences):
                sequence.truncate(0)
                prompts[index] = min(prompts[index], _seconds(sequence, _PROMPT_TOKENS))
                for _ in range(_REPLY_TOKENS):
                    replies[index] = min(replies[index], _seconds(sequence, 1))
    finally:
        for sequence in sequences:
            sequence.close()
    return prompts[1] / prompts[0], replies[1] / replies[0]


def _worth_a_try(language_model: Path) -> bool:
    return main_kind(language_model) in _UNBATCHED


def _copy_path(language_model: Path, cache_dir: Path) -> Path:
    return (
        cache_dir / "engines" / f"{language_model.stem}.{sha256_of(language_model)[:12]}.Q8_0.gguf"
    )


def _record_path(language_model: Path, cache_dir: Path) -> Path:
    return _copy_path(language_model, cache_dir).with_suffix(".json")


def _is_whole(copy: Path, comparison: Comparison) -> bool:
    return copy.is_file() and copy.stat().st_size == comparison.copy_bytes


def _requantize(source: Path, target: Path) -> None:
    """Write `source` as `target`, every matrix in 8 bits except the embedding table: soft tokens
    are rows of the original table."""
    quiet_backend()
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = llama.LLAMA_FTYPE_MOSTLY_Q8_0
    parameters.allow_requantize = True
    table_kind = int(kind_of(source, "token_embd.weight"))
    parameters.token_embedding_type = table_kind
    if not has_tensor(source, "output.weight"):
        parameters.output_tensor_type = (
            table_kind  # the table is the output too, and llama.cpp then goes by this one
        )
    parameters.nthread = os.cpu_count() or 1
    if llama.llama_model_quantize(
        os.fsencode(source), os.fsencode(target), ctypes.byref(parameters)
    ):
        raise AttuneError(
            f"llama.cpp could not write {source} in 8-bit weights (is the disk full?); run `attune"
            " models verify`"
        )


def _seconds(sequence: LlamaSequence, tokens: int) -> float:
    began = time.perf_counter()
    sequence.append_tokens(
        [token % sequence.model.vocabulary_size for token in range(1, tokens + 1)]
    )
    sequence.logits()
    return time.perf_counter() - began
