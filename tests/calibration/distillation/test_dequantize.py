"""ggml's blocks in torch: the same numbers as in its reference, to the last bit."""

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.distillation.dequantize import KINDS, dequantize, width_of
from engines.errors import AttuneError


def random_rows(kind: Kind, rows: int, blocks: int, seed: int) -> np.ndarray:
    """[rows, bytes]: any bytes, but finite numbers where a block keeps float16 or float32 ones."""
    rng = np.random.default_rng(seed)
    size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    if size == 1:
        values = rng.standard_normal((rows, blocks * size)).astype(np.float32)
        return gguf.quants.quantize(values, kind).view(np.uint8)
    data = rng.integers(0, 256, (rows, blocks, block_bytes), np.uint8)
    scales = rng.standard_normal((rows, blocks, 2)).astype(np.float16).view(np.uint8)
    places = {Kind.Q6_K: [208, 209]}.get(
        kind, [0, 1, 2, 3] if kind in (Kind.Q4_1, Kind.Q5_1, Kind.Q4_K, Kind.Q5_K) else [0, 1]
    )
    data[:, :, places] = scales[:, :, : len(places)]
    return data.reshape(rows, -1)


@settings(max_examples=10)
@given(
    st.sampled_from(sorted(KINDS)), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1)
)
def test_every_type_is_as_in_the_reference(name: str, rows: int, blocks: int, seed: int) -> None:
    kind = Kind[name]
    data = random_rows(kind, rows, blocks, seed)
    expected = gguf.quants.dequantize(data, kind).astype(np.float32)
    found = dequantize(torch.from_numpy(data), kind)
    assert found.dtype == torch.float32
    assert tuple(found.shape) == (rows, width_of(data.shape[1], kind))
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_each_type_by_itself(name: str) -> None:
    """So that no type is left to chance."""
    kind = Kind[name]
    data = random_rows(kind, 7, 3, 0)
    assert np.array_equal(
        dequantize(torch.from_numpy(data), kind).numpy(),
        gguf.quants.dequantize(data, kind).astype(np.float32),
    )


def test_the_types_that_are_served_are_there() -> None:
    assert {"Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "BF16", "F32"} <= KINDS


def test_another_type_is_one_clear_line() -> None:
    with pytest.raises(
        AttuneError, match="IQ2_XXS cannot be trained through; use one of BF16, F16"
    ):
        dequantize(torch.zeros(1, 66, dtype=torch.uint8), Kind.IQ2_XXS)
