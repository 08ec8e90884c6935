"""A linear layer and an embedding table whose weights stay in ggml's blocks. Knows no architecture
and no files.

Blocks are dequantized when the layer runs, and again when gradients pass it, a few rows at a time:
no whole matrix in another type is ever in memory. On a processor the blocks are the file's own
pages.
"""

import warnings
from typing import Any

import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from engines.llm.gguf_file import MappedTensor

from .dequantize import dequantize, width_of

_AT_ONCE = 2**18
"""The number of weights that are dequantized at a time: 1 MiB in float32, which a processor's cache
holds."""


class QuantizedLinear(nn.Module):
    """An `nn.Linear` with frozen weights in blocks."""

    qweight: Tensor
    """The blocks, under peft's name for quantized weights."""
    order: Tensor | None
    bias: Tensor | None

    def __init__(
        self, blocks: Tensor, kind: Kind, bias: Tensor | None = None, order: Tensor | None = None
    ) -> None:
        """[outputs, bytes of a row] uint8 blocks; with `order` [outputs] int64, output i is that of
        row `order[i]`."""
        super().__init__()
        self.kind = kind
        self.out_features = len(blocks)
        self.in_features = width_of(blocks.shape[1], kind)
        self.register_buffer("qweight", blocks, persistent=False)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        y: Tensor = _Multiplied.apply(x, self.qweight, self.kind)  # type: ignore[no-untyped-call]
        if self.order is not None:
            y = y[..., self.order]
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """The sizes and the type of the layer, for people."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" kind={self.kind.name}"
        )


class QuantizedEmbedding(nn.Module):
    """An `nn.Embedding` with frozen weights in blocks."""

    blocks: Tensor

    def __init__(self, blocks: Tensor, kind: Kind, scale: float = 1.0) -> None:
        """[tokens, bytes of a row] uint8 blocks; rows are multiplied by `scale`."""
        super().__init__()
        self.kind = kind
        self.scale = scale
        self.num_embeddings = len(blocks)
        self.embedding_dim = width_of(blocks.shape[1], kind)
        self.register_buffer("blocks", blocks, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """[...] int64 to [..., width] float32."""
        rows = dequantize(self.blocks[tokens.reshape(-1)], self.kind) * self.scale
        return rows.view(*tokens.shape, self.embedding_dim)


def blocks_of(mapped: MappedTensor) -> Tensor:
    """The blocks of a mapped matrix as a tensor over the file's own pages, which must not be
    written to."""
    with warnings.catch_warnings():  # torch cannot hold a tensor that is only read, and says so
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(mapped.data)


def multiply(x: Tensor, blocks: Tensor, kind: Kind) -> Tensor:
    """`x` [..., inputs] times the transpose of the matrix in `blocks`: [..., outputs], without
    gradients."""
    y = x.new_empty(*x.shape[:-1], len(blocks))
    for rows in row_slices(blocks, kind):
        y[..., rows] = x @ dequantize(blocks[rows], kind).to(x.dtype).T
    return y


def row_slices(blocks: Tensor, kind: Kind) -> list[slice]:
    """The rows of a matrix in blocks, in slices as large as may be dequantized at once."""
    many = max(1, _AT_ONCE // width_of(blocks.shape[1], kind))
    return [slice(start, min(start + many, len(blocks))) for start in range(0, len(blocks), many)]


class _Multiplied(torch.autograd.Function):
    """`multiply` with a gradient, which needs neither input nor output: only the blocks are
    kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Tensor, kind: Kind) -> Tensor:
        ctx.blocks, ctx.kind = blocks, kind
        return multiply(x, blocks, kind)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
        found = given.new_zeros(*given.shape[:-1], width_of(ctx.blocks.shape[1], ctx.kind))
        for rows in row_slices(ctx.blocks, ctx.kind):
            found += given[..., rows] @ dequantize(ctx.blocks[rows], ctx.kind).to(given.dtype)
        return found, None, None
