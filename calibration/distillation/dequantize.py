"""Dequantizes ggml's blocks to float32, in torch, on the device of the blocks. Knows types of
blocks, no files and no models.

The numbers are those of `gguf.quants`, ggml's reference in Python, to the last bit: the order of
the operations is the same. diffusers has such functions, too, and a `GGUFLinear`; but that
dequantizes a whole matrix at a time, and would be another package to install.
"""

from collections.abc import Callable

import gguf
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

from engines.errors import AttuneError


def dequantize(data: Tensor, kind: Kind) -> Tensor:
    """Dequantize rows of type `kind`, [..., bytes of a row] uint8, to [..., width] float32. Raises
    AttuneError for a type that is not in KINDS."""
    if kind not in _OF_KIND:
        raise AttuneError(
            f"weights of the type {kind.name} cannot be trained through; use one of"
            f" {', '.join(sorted(KINDS))}"
        )
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = data.reshape(-1, block_bytes)
    return _OF_KIND[kind](blocks).reshape(*data.shape[:-1], -1)


def width_of(row_bytes: int, kind: Kind) -> int:
    """The number of weights in a row of `row_bytes`."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    return row_bytes // block_bytes * block_size


def _half(blocks: Tensor, at: int) -> Tensor:
    """The float16 at byte `at` of each block: [n, 1] float32."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """[n, B] bytes to [n, 2, B]: the low halves, then the high ones."""
    return torch.stack([packed & 15, packed >> 4], dim=1)


def _bits(packed: Tensor, width: int) -> Tensor:
    """[n, B] bytes to [n, 8 // width, B]: numbers of `width` bits each, the lowest first."""
    return torch.stack(
        [(packed >> shift) & ((1 << width) - 1) for shift in range(0, 8, width)], dim=1
    )


def _q4_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]).flatten(1).float() - 8)


def _q4_1(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]).flatten(1).float() + _half(blocks, 2)


def _fifth_bits(packed: Tensor) -> Tensor:
    """[n, 4] bytes to [n, 32] bits, the lowest of the first byte first."""
    return _bits(packed, 1).transpose(1, 2).flatten(1)


def _q5_0(blocks: Tensor) -> Tensor:
    numbers = _nibbles(blocks[:, 6:]).flatten(1) | (_fifth_bits(blocks[:, 2:6]) << 4)
    return _half(blocks, 0) * (numbers.float() - 16)


def _q5_1(blocks: Tensor) -> Tensor:
    numbers = _nibbles(blocks[:, 8:]).flatten(1) | (_fifth_bits(blocks[:, 4:8]) << 4)
    return _half(blocks, 0) * numbers.float() + _half(blocks, 2)


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].contiguous().view(torch.int8).float() * _half(blocks, 0)


def _scales_and_minima(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The scales and minima of Q4_K and Q5_K, [n, 8, 1] each: two numbers of 6 bits for every 32
    weights, packed in 12 bytes, times the block's own."""
    first, second, both = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = torch.cat([first & 63, (both & 15) | ((first >> 2) & 48)], dim=1)
    minima = torch.cat([second & 63, (both >> 4) | ((second >> 2) & 48)], dim=1)
    return (_half(blocks, 0) * scales.float()).unsqueeze(2), (
        _half(blocks, 2) * minima.float()
    ).unsqueeze(2)


def _q4_k(blocks: Tensor) -> Tensor:
    scales, minima = _scales_and_minima(blocks)
    numbers = _nibbles(blocks[:, 16:].reshape(-1, 32)).view(-1, 8, 32)
    return scales * numbers.float() - minima


def _q5_k(blocks: Tensor) -> Tensor:
    scales, minima = _scales_and_minima(blocks)
    numbers = _nibbles(blocks[:, 48:].reshape(-1, 32)).view(-1, 8, 32) | (
        _bits(blocks[:, 16:48], 1) << 4
    )
    return scales * numbers.float() - minima


def _q6_k(blocks: Tensor) -> Tensor:
    low = _nibbles(blocks[:, :128].reshape(-1, 64)).view(-1, 8, 32)
    high = _bits(blocks[:, 128:192].reshape(-1, 32), 2).view(-1, 8, 32)
    scales = _half(blocks, 208) * blocks[:, 192:208].contiguous().view(torch.int8).float()
    numbers = (low | (high << 4)).view(-1, 16, 16).float() - 32
    return scales.unsqueeze(2) * numbers


def _f32(blocks: Tensor) -> Tensor:
    return blocks.contiguous().view(torch.float32)


def _f16(blocks: Tensor) -> Tensor:
    return blocks.contiguous().view(torch.float16).float()


def _bf16(blocks: Tensor) -> Tensor:
    return blocks.contiguous().view(torch.bfloat16).float()


_OF_KIND: dict[Kind, Callable[[Tensor], Tensor]] = {
    Kind.F32: _f32,
    Kind.F16: _f16,
    Kind.BF16: _bf16,
    Kind.Q4_0: _q4_0,
    Kind.Q4_1: _q4_1,
    Kind.Q5_0: _q5_0,
    Kind.Q5_1: _q5_1,
    Kind.Q8_0: _q8_0,
    Kind.Q4_K: _q4_k,
    Kind.Q5_K: _q5_k,
    Kind.Q6_K: _q6_k,
}
KINDS = frozenset(kind.name for kind in _OF_KIND)
