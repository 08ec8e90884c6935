"""A GGUF file as a torch model: transformers' classes, with linear layers whose weights stay in the
file's own blocks.

Knows ARCHITECTURES; others are refused by name. llama.cpp stores the rows of Llama's query and key
projections in the order of its own rotary embedding, pair by pair; transformers needs them half by
half. Gemma's norms are stored with the one added that transformers adds itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engines.errors import AttuneError
from engines.llm.gguf_file import MappedTensor, map_tensors, metadata

from .dequantize import dequantize
from .quantized_layers import QuantizedEmbedding, QuantizedLinear, blocks_of

TABLE, OUTPUT, ROPE_FACTORS = "token_embd.weight", "output.weight", "rope_freqs.weight"
LINEAR_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""llama.cpp's names of a block's linear layers, and transformers' names of them."""
_USUAL_NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_GEMMA_NORMS = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


@dataclass(frozen=True)
class _Architecture:
    config: type[PreTrainedConfig]
    model: type[PreTrainedModel]
    norms: Mapping[str, str] = field(default_factory=lambda: _USUAL_NORMS)
    pairwise: bool = False
    """Whether the rows of queries and keys are in llama.cpp's order."""
    norm_offset: float = 0.0
    """The difference between a stored norm and transformers'."""


ARCHITECTURES = {
    "llama": _Architecture(LlamaConfig, LlamaForCausalLM, pairwise=True),
    "qwen2": _Architecture(Qwen2Config, Qwen2ForCausalLM),
    "qwen3": _Architecture(Qwen3Config, Qwen3ForCausalLM, _USUAL_NORMS | _HEAD_NORMS),
    "gemma3": _Architecture(
        Gemma3TextConfig, Gemma3ForCausalLM, _GEMMA_NORMS | _HEAD_NORMS, norm_offset=1.0
    ),
}


def load_language_model(path: Path) -> PreTrainedModel:
    """Load the model in `path`, frozen and in evaluation mode; its blocks are the file's own pages.

    Raises AttuneError for another architecture, a type of weights that cannot be dequantized, or a
    damaged file.
    """
    values = metadata(path)
    name = values.get("general.architecture")
    if name not in ARCHITECTURES:
        raise AttuneError(
            f"{path} is of the architecture {name}; only {', '.join(ARCHITECTURES)} can be trained"
            " through"
        )
    architecture, stored = ARCHITECTURES[name], map_tensors(path)
    config = _config(path, name, values, stored)
    with torch.device("meta"):
        model = architecture.model(config)
    loader = _Loader(path, architecture, config, model)
    for tensor_name, mapped in stored.items():
        loader.put(tensor_name, mapped, stored)
    if OUTPUT not in stored:
        model.lm_head = QuantizedLinear(blocks_of(stored[TABLE]), stored[TABLE].kind)
    missing = [name for name, value in model.named_parameters() if value.is_meta]
    if missing:
        raise AttuneError(f"{path} has no weights for {missing[0]}; run `attune models verify`")
    _compute_rotary(model, config, stored.get(ROPE_FACTORS))
    model.requires_grad_(False)
    model.train(False)
    return model


def dequantize_linears(model: PreTrainedModel) -> None:
    """Make every quantized linear layer of `model` an `nn.Linear` with float32 weights: faster, for
    several times the memory."""
    for name, module in list(model.named_modules()):
        if isinstance(module, QuantizedLinear):
            plain = nn.Linear(
                module.in_features, module.out_features, module.bias is not None, device="meta"
            )
            weight = dequantize(module.qweight, module.kind)
            plain.weight = nn.Parameter(
                weight if module.order is None else weight[module.order], requires_grad=False
            )
            if module.bias is not None:
                plain.bias = nn.Parameter(module.bias, requires_grad=False)
            _replace(model, name, plain)


def row_order(heads: int, head_width: int) -> Tensor:
    """[heads * head_width] int64: the stored row (pair by pair) for each row (half by half) of a
    query or key projection."""
    rows = torch.arange(heads * head_width).view(heads, head_width // 2, 2)
    return rows.transpose(1, 2).flatten()


def _config(
    path: Path, name: str, values: Mapping[str, Any], stored: Mapping[str, MappedTensor]
) -> PreTrainedConfig:
    def value(key: str, otherwise: Any = None) -> Any:
        found = values.get(f"{name}.{key}", otherwise)
        if found is None:
            raise AttuneError(f"{path} does not say its {name}.{key}; run `attune models verify`")
        return found

    if TABLE not in stored:
        raise AttuneError(f"{path} has no tensor {TABLE}; run `attune models verify`")
    width, heads = value("embedding_length"), value("attention.head_count")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": value("rope.freq_base", 10_000.0)}
    scaling = values.get(f"{name}.rope.scaling.type", "none")
    if scaling == "linear":
        rope |= {"rope_type": "linear", "factor": value("rope.scaling.factor")}
    elif scaling != "none":
        raise AttuneError(
            f"{path} scales its positions by {scaling}; only linear scaling can be trained through"
        )
    arguments: dict[str, Any] = {
        "vocab_size": len(stored[TABLE].data),
        "hidden_size": width,
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv", heads),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        "head_dim": value("attention.key_length", width // heads),
        "max_position_embeddings": value("context_length"),
        # the output reads the same blocks where the file has none of its own
        "tie_word_embeddings": False,
        "rope_parameters": rope,
    }
    if name == "gemma3":
        local = {"rope_type": "default", "rope_theta": value("rope.freq_base_swa", 10_000.0)}
        arguments |= {
            "rope_parameters": {"full_attention": rope, "sliding_attention": local},
            "sliding_window": value("attention.sliding_window"),
            "query_pre_attn_scalar": value("attention.key_length", width // heads),
        }
    return ARCHITECTURES[name].config(**arguments)


@dataclass(frozen=True)
class _Loader:
    """Puts stored tensors in their places in a model that has no memory yet."""

    path: Path
    architecture: _Architecture
    config: Any
    model: PreTrainedModel

    def put(self, name: str, mapped: MappedTensor, stored: Mapping[str, MappedTensor]) -> None:
        if name == TABLE:
            scale = getattr(self.model.model.embed_tokens, "scalar_embed_scale", 1.0)
            self.model.model.embed_tokens = QuantizedEmbedding(
                blocks_of(mapped), mapped.kind, scale
            )
        elif name == OUTPUT:
            self._put_linear("lm_head", mapped, None, None)
        elif name == "output_norm.weight":
            self._put_norm("model.norm", mapped)
        elif name != ROPE_FACTORS:
            self._put_part(name, mapped, stored)

    def _put_part(
        self, name: str, mapped: MappedTensor, stored: Mapping[str, MappedTensor]
    ) -> None:
        kind, _, rest = name.partition(".")
        block, _, part = rest.partition(".")
        part, _, what = part.partition(".")
        if kind == "blk" and what == "weight" and part in self.architecture.norms:
            self._put_norm(f"model.layers.{block}.{self.architecture.norms[part]}", mapped)
        elif kind == "blk" and part in LINEAR_NAMES and what == "weight":
            bias = stored.get(f"blk.{block}.{part}.bias")
            self._put_linear(
                f"model.layers.{block}.{LINEAR_NAMES[part]}", mapped, bias, self._order(part)
            )
        # Biases go with their weights.
        elif kind != "blk" or part not in LINEAR_NAMES or what != "bias":
            raise AttuneError(f"{self.path} has a tensor {name}, which nothing here would use")

    def _order(self, part: str) -> Tensor | None:
        if not self.architecture.pairwise or part not in ("attn_q", "attn_k"):
            return None
        heads = (
            self.config.num_attention_heads if part == "attn_q" else self.config.num_key_value_heads
        )
        return row_order(heads, self.config.head_dim)

    def _put_linear(
        self, place: str, mapped: MappedTensor, bias: MappedTensor | None, order: Tensor | None
    ) -> None:
        shift = None
        if bias is not None:
            shift = dequantize(blocks_of(bias), bias.kind).flatten()
            shift = shift if order is None else shift[order]
        linear = QuantizedLinear(blocks_of(mapped), mapped.kind, shift, order)
        dequantize(linear.qweight[:1], linear.kind)  # a type that cannot be is told now
        expected = self._there(place)
        if (expected.in_features, expected.out_features) != (
            linear.in_features,
            linear.out_features,
        ):
            raise AttuneError(
                f"{self.path} has another shape for {place} than it says; run `attune models"
                " verify`"
            )
        _replace(self.model, place, linear)

    def _put_norm(self, place: str, mapped: MappedTensor) -> None:
        weight = (
            dequantize(blocks_of(mapped), mapped.kind).flatten() - self.architecture.norm_offset
        )
        norm = self._there(place)
        if norm.weight.shape != weight.shape:
            raise AttuneError(
                f"{self.path} has another shape for {place} than it says; run `attune models"
                " verify`"
            )
        norm.weight = nn.Parameter(weight.clone(), requires_grad=False)

    def _there(self, place: str) -> Any:
        try:
            return self.model.get_submodule(place)
        except AttributeError:
            raise AttuneError(
                f"{self.path} has weights for {place}, which is not there; run `attune models"
                " verify`"
            ) from None


def _replace(model: PreTrainedModel, place: str, module: nn.Module) -> None:
    parent, _, last = place.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _compute_rotary(
    model: PreTrainedModel, config: PreTrainedConfig, factors: MappedTensor | None
) -> None:
    """Compute the rotary frequencies, which are not stored; Llama 3 stores a divisor for each."""
    rotary = type(model.model.rotary_emb)(config)
    if factors is not None:
        rotary.inv_freq /= dequantize(blocks_of(factors), factors.kind).flatten()
    model.model.rotary_emb = rotary
