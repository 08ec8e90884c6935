"""GGUF files with random weights in the shape of known models, to measure training through them
without a download.

Their replies make no sense; torch and llama.cpp load and run them like any other. Knows shapes and
files, no training.
"""

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from engines.errors import AttuneError

_MOST_AT_ONCE = 2**24
"""The number of random weights that are drawn at a time."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a language model."""

    architecture: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    vocabulary: int
    context_tokens: int = 4096
    rope_base: float = 10_000.0


SHAPES = {
    "llama-3.2-1b": ModelShape("llama", 2048, 16, 32, 8, 64, 8192, 128_256, 131_072, 500_000.0),
    "qwen3-1.7b": ModelShape("qwen3", 2048, 28, 16, 8, 128, 6144, 151_936, 40_960, 1e6),
}
"""The models that are recommended for a board with 8 GB."""


def write_random_model(
    path: Path,
    shape: ModelShape,
    kind: Kind = Kind.Q4_K,
    table_kind: Kind = Kind.Q6_K,
    scale: float = 0.02,
    seed: int = 0,
) -> Path:
    """Write a model of `shape` to `path`: matrices of type `kind`, a table (also the output) of
    `table_kind`, with normal weights of the standard deviation `scale`."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, shape.architecture)
    _describe(writer, shape)

    def matrix(
        name: str, rows: int, columns: int, of_kind: Kind = kind, spread: float = scale
    ) -> None:
        data = random_blocks(rng, rows, columns, of_kind, spread)
        if of_kind is Kind.F32:
            writer.add_tensor(name, data.view(np.float32))
        else:
            writer.add_tensor(name, data, raw_dtype=of_kind)

    def vector(name: str, length: int, middle: float) -> None:
        writer.add_tensor(name, (middle + 0.1 * rng.standard_normal(length)).astype(np.float32))

    attended, shared = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    matrix("token_embd.weight", shape.vocabulary, shape.width, table_kind, 0.1)
    vector("output_norm.weight", shape.width, 1.0)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        for name, rows, columns in (
            ("attn_q", attended, shape.width),
            ("attn_k", shared, shape.width),
            ("attn_v", shared, shape.width),
            ("attn_output", shape.width, attended),
            ("ffn_gate", shape.feed_forward, shape.width),
            ("ffn_up", shape.feed_forward, shape.width),
            ("ffn_down", shape.width, shape.feed_forward),
        ):
            matrix(f"{block}.{name}.weight", rows, columns)
        for name in ("attn_norm", "ffn_norm"):
            vector(f"{block}.{name}.weight", shape.width, 1.0)
        if shape.architecture == "qwen2":
            for name, rows in (("attn_q", attended), ("attn_k", shared), ("attn_v", shared)):
                vector(f"{block}.{name}.bias", rows, 0.0)
        if shape.architecture in ("qwen3", "gemma3"):
            for name in ("attn_q_norm", "attn_k_norm"):
                vector(f"{block}.{name}.weight", shape.head_width, 1.0)
        if shape.architecture == "gemma3":
            for name in ("post_attention_norm", "post_ffw_norm"):
                vector(f"{block}.{name}.weight", shape.width, 1.0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def random_blocks(
    rng: np.random.Generator, rows: int, columns: int, kind: Kind, scale: float
) -> NDArray[np.uint8]:
    """[rows, bytes] blocks whose numbers have the standard deviation `scale`. Raises AttuneError
    for types that cannot be drawn."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    if columns % block_size:
        raise AttuneError(
            f"rows of {columns} are not whole blocks of {kind.name}, which have {block_size}"
        )
    if block_size == 1 or kind in (Kind.Q4_0, Kind.Q8_0):
        few = max(1, _MOST_AT_ONCE // columns)
        parts = [
            gguf.quants.quantize(
                (scale * rng.standard_normal((min(few, rows - start), columns), np.float32)).astype(
                    np.float32
                ),
                kind,
            ).view(np.uint8)
            for start in range(0, rows, few)
        ]
        return np.concatenate(parts)
    blocks = rng.integers(0, 256, (rows * columns // block_size, block_bytes), np.uint8)
    # d * s * q - m * t with s and t below 64 and q below 16: centred where m is 7.5 d.
    if kind is Kind.Q4_K:
        blocks[:, :4] = np.array([scale / 250, 7.5 * scale / 250], np.float16).view(np.uint8)
    elif kind is Kind.Q6_K:  # d * s * q with s from -128 and q from -32
        blocks[:, 208:] = np.array([scale / 1370], np.float16).view(np.uint8)
    else:
        raise AttuneError(
            f"random weights of the type {kind.name} are not drawn; choose Q4_K, Q6_K, Q8_0, Q4_0,"
            " F16 or F32"
        )
    return blocks.reshape(rows, -1)


def _describe(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    writer.add_context_length(shape.context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    if shape.architecture == "gemma3":
        writer.add_sliding_window(8)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{token}" for token in range(shape.vocabulary)])
    writer.add_token_types([1] * shape.vocabulary)
    writer.add_token_merges(["~ ~"])  # llama.cpp wants one at least; this one makes no token
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
