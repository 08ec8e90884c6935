"""Weights for this processor: the 8-bit copy says the same, is made once, and is served only when
it is whole and faster."""

import ctypes
import os
from functools import partial
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from engines.errors import AttuneError
from engines.llm.gguf_file import kind_of, main_kind
from engines.llm.requantize import (
    compare_weights,
    is_compared,
    read_comparison,
    served_weights,
    time_both,
)
from engines.llm.sequence import LlamaSequence
from tests.support.tiny_llama import write_tiny_llama

Q4_1, Q8_0, F32 = (
    gguf.GGMLQuantizationType.Q4_1,
    gguf.GGMLQuantizationType.Q8_0,
    gguf.GGMLQuantizationType.F32,
)


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in Q4_1."""
    folder = tmp_path_factory.mktemp("slow")
    plain = write_tiny_llama(folder / "plain.gguf", feed_forward=64)  # ggml packs 32 at a time
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype, parameters.pure = llama.LLAMA_FTYPE_MOSTLY_Q4_1, True
    path = folder / "slow.gguf"
    assert (
        llama.llama_model_quantize(os.fsencode(plain), os.fsencode(path), ctypes.byref(parameters))
        == 0
    )
    assert main_kind(path) == Q4_1
    return path


def logits(path: Path) -> np.ndarray:
    sequence = LlamaSequence(path, 64, 1, None)
    try:
        sequence.append_tokens([5, 17, 40, 3, 9])
        return sequence.logits().copy()
    finally:
        sequence.close()


def faster(own: Path, copy: Path) -> tuple[float, float]:
    assert own.is_file()
    assert copy.is_file()
    return 0.5, 1.0


def slower(own: Path, copy: Path) -> tuple[float, float]:
    return 0.5, 2.0


def test_the_copy_says_what_the_file_says(slow_model: Path, tmp_path: Path) -> None:
    compare_weights(slow_model, tmp_path, faster)
    served = served_weights(slow_model, tmp_path)
    assert served != slow_model
    assert kind_of(served, "blk.0.ffn_up.weight") == Q8_0
    assert kind_of(served, "token_embd.weight") == kind_of(slow_model, "token_embd.weight")
    expected = logits(slow_model)
    assert np.abs(logits(served) - expected).max() < 0.03 * np.ptp(expected)


def test_it_is_measured_once_and_the_loser_is_removed(slow_model: Path, tmp_path: Path) -> None:
    assert not is_compared(slow_model, tmp_path)
    compare_weights(slow_model, tmp_path, slower)
    assert is_compared(slow_model, tmp_path)
    assert served_weights(slow_model, tmp_path) == slow_model
    assert [path.suffix for path in (tmp_path / "engines").iterdir()] == [".json"]


def test_both_are_really_timed(slow_model: Path, tmp_path: Path) -> None:
    compared = compare_weights(slow_model, tmp_path, partial(time_both, threads=2))
    assert compared is not None
    assert compared == read_comparison(slow_model, tmp_path)
    assert 0.01 < compared.prompt_ratio < 100.0
    assert 0.01 < compared.reply_ratio < 100.0
    assert bool(compared.copy_bytes) == (served_weights(slow_model, tmp_path) != slow_model)


@pytest.mark.parametrize("harm", ["truncated", "removed", "record"])
def test_what_is_not_whole_is_not_served(slow_model: Path, tmp_path: Path, harm: str) -> None:
    compare_weights(slow_model, tmp_path, faster)
    copy = served_weights(slow_model, tmp_path)
    if harm == "truncated":
        os.truncate(copy, 1000)
    elif harm == "removed":
        copy.unlink()
    else:
        copy.with_suffix(".json").write_text("{")
    assert served_weights(slow_model, tmp_path) == slow_model
    assert not is_compared(slow_model, tmp_path)
    compare_weights(slow_model, tmp_path, faster)
    assert served_weights(slow_model, tmp_path) == copy


def test_weights_that_are_computed_well_are_left_alone(tmp_path: Path) -> None:
    plain = write_tiny_llama(tmp_path / "plain.gguf")
    assert main_kind(plain) == F32
    assert compare_weights(plain, tmp_path, faster) is None
    assert is_compared(plain, tmp_path)
    assert served_weights(plain, tmp_path) == plain
    assert not (tmp_path / "engines").exists()


def test_a_folder_that_cannot_be_written_is_told(slow_model: Path, tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("in the way")
    with pytest.raises(AttuneError, match="could not be written"):
        compare_weights(slow_model, tmp_path, faster)
