"""Writes very small llama models as GGUF files: real ones for llama.cpp, small enough to test
hundreds of turns in seconds."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content"
    " }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END = "<|im_end|>"
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", END)

PRINTABLE = [chr(code) for code in range(33, 127)] + ["\u0120", "\u010a"]
"""A character a token: printable ASCII, and the names under which byte-level BPE keeps space and
newline."""

FEED_FORWARD = 48
HEAD_WIDTH = 16
LAYERS = 2


def byte_names() -> list[str]:
    """The 256 characters under which byte-level BPE keeps the bytes 0 to 255."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) if byte in kept else chr(256 + shifted.index(byte)) for byte in range(256)]


def write_tiny_llama(
    path: Path,
    characters: list[str] = PRINTABLE,
    next_token: Mapping[str, str] | None = None,
    seed: int = 0,
    width: int = 32,
    context_tokens: int = 4096,
    template: str | None = CHATML,
    architecture: str = "llama",
    feed_forward: int = FEED_FORWARD,
) -> Path:
    """Write a model of random float32 weights whose tokens are CONTROL_TOKENS and `characters`.

    With `next_token` it is a script instead: after each token that is a key comes its value, after
    any other comes the end. `architecture` is "llama", or "gemma3": more norms, and the embedding
    is scaled for tokens and used as the output.
    """
    random = np.random.default_rng(seed)
    tokens = [*CONTROL_TOKENS, *characters]
    size = len(tokens)
    width = size + size % 2 if next_token is not None else width

    def weights(rows: int, columns: int) -> np.ndarray:
        scale = 0.0 if next_token is not None else 0.3
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    embedding = random.standard_normal((size, width)).astype(np.float32)
    output = random.standard_normal((size, width)).astype(np.float32)
    if next_token is not None:
        embedding = np.eye(size, width, dtype=np.float32)
        output = np.zeros((size, width), np.float32)
        for index, token in enumerate(tokens):
            output[tokens.index(next_token.get(token, END)), index] = 1.0

    heads = 2
    head_width = width // heads if next_token is not None else HEAD_WIDTH
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head_width)
    if architecture == "gemma3":
        writer.add_sliding_window(context_tokens)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(CONTROL_TOKENS) + [1] * len(characters))
    writer.add_token_merges(["~ ~"])  # llama.cpp wants one at least; this one makes no token
    writer.add_eos_token_id(tokens.index(END))
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    if architecture == "llama":
        writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(width, np.float32))
        if architecture == "gemma3":
            for name, length in (
                ("attn_q", head_width),
                ("attn_k", head_width),
                ("post_attention", width),
                ("post_ffw", width),
            ):
                writer.add_tensor(f"blk.{layer}.{name}_norm.weight", np.ones(length, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(width, width))
        writer.add_tensor(f"blk.{layer}.ffn_gate.weight", weights(feed_forward, width))
        writer.add_tensor(f"blk.{layer}.ffn_up.weight", weights(feed_forward, width))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", weights(width, feed_forward))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(
    path: Path,
    shapes: Mapping[str, tuple[int, int]],
    seed: int = 0,
    rank: int = 16,
    scale: float = 0.05,
) -> Path:
    """Write a random GGUF adapter for the weights in `shapes`: (inputs, outputs) by tensor name."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for name, (inputs, outputs) in shapes.items():
        writer.add_tensor(
            f"{name}.lora_a", (random.standard_normal((rank, inputs)) * scale).astype(np.float32)
        )
        writer.add_tensor(
            f"{name}.lora_b", (random.standard_normal((outputs, rank)) * scale).astype(np.float32)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
