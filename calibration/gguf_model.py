"""A GGUF file as a torch model with float32 weights. Knows the Llama architecture; other ones are refused by name.

llama.cpp stores the rows of the query and key projections in the order of its own rotary embedding, pair by pair; transformers
wants them half by half.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from engines.errors import AttuneError

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def load_language_model(path: Path) -> LlamaForCausalLM:
    """The model in `path`, frozen, in evaluation mode. Raises AttuneError for another architecture or a damaged file."""
    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError) as error:
        raise AttuneError(f"{path} is not a GGUF file ({error}); run `attune models verify`") from None
    architecture = _value(reader, "general.architecture")
    if architecture != "llama":
        raise AttuneError(f"{path} is of the architecture {architecture}; only llama can be trained through")
    stored = {tensor.name: tensor for tensor in reader.tensors}
    table = stored["token_embd.weight"]
    heads = _value(reader, "llama.attention.head_count")
    config = LlamaConfig(
        vocab_size=int(table.shape[1]),
        hidden_size=_value(reader, "llama.embedding_length"),
        intermediate_size=_value(reader, "llama.feed_forward_length"),
        num_hidden_layers=_value(reader, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_value(reader, "llama.attention.head_count_kv", heads),
        rms_norm_eps=_value(reader, "llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": _value(reader, "llama.rope.freq_base", 10_000.0)},
        max_position_embeddings=_value(reader, "llama.context_length"),
        tie_word_embeddings="output.weight" not in stored,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    weights = {_torch_name(name): _dequantized(tensor, config) for name, tensor in stored.items()}
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, assign=True, strict=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its frequencies are computed, not stored
    model.requires_grad_(False)
    model.train(False)
    return model


def _value(reader: gguf.GGUFReader, name: str, otherwise: Any = None) -> Any:
    """What the file says, or `otherwise`; where that is None it must say."""
    field = reader.get_field(name)
    if field is None:
        if otherwise is not None:
            return otherwise
        raise AttuneError(f"the GGUF file does not say its {name}; run `attune models verify`")
    return field.contents()


def _torch_name(name: str) -> str:
    if name == "output.weight":
        return "lm_head.weight"
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, block, part, _ = name.split(".")
    return f"model.layers.{block}.{_NAMES[part]}.weight"


def _dequantized(tensor: gguf.ReaderTensor, config: LlamaConfig) -> Tensor:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
    weights = torch.from_numpy(np.ascontiguousarray(values))
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads or config.num_attention_heads}
    for part, count in heads.items():
        if f".{part}." in tensor.name:
            return weights.view(count, shape[0] // count // 2, 2, shape[1]).transpose(1, 2).reshape(shape).contiguous()
    return weights
