"""Partial LoRA (BLSP-KD's family; InternLM-XComposer2): low-rank adapters of a language model that
only speech passes through.

y = Wx + mask * (alpha / r) * BAx, with the mask 1 where a soft token stands. It is a layer of
peft's, saved in its own format, for linear layers in blocks; this module also writes the file that
llama.cpp loads. It cannot be merged into the weights, because text must not pass through it. Knows
no losses.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora.layer import LoraLayer
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import PreTrainedModel

from engines.encryption.files import UnreadableError, read_file, write_file, writing
from engines.errors import AttuneError

from ..peft_warnings import unwarned
from .gguf_model import LINEAR_NAMES
from .quantized_layers import QuantizedLinear

RANK, ALPHA, DROPOUT = 16, 16, 0.05
"""The values of BLSP-KD's family."""
ADAPTER = "default"
"""peft's name for the only adapter."""


class PartialLoraLinear(nn.Module, LoraLayer):
    """A frozen linear layer, with a low-rank one beside it for some positions."""

    base_layer: QuantizedLinear
    speech: Tensor | None
    """[B, T] True where a soft token stands; None where no position has one. `set_speech` sets
    it."""

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: LoraConfig,
        r: int = 0,
        lora_alpha: int = 1,
        **_: Any,
    ) -> None:
        super().__init__()
        with unwarned():
            LoraLayer.__init__(self, base_layer)
        self._active_adapter = adapter_name
        self.speech = None
        self.update_layer(adapter_name, r, lora_alpha=lora_alpha, config=config)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, inputs] to [B, T, outputs]."""
        y: Tensor = self.base_layer(x)
        if self.speech is None or self.disable_adapters:
            return y
        for name in self.active_adapters:
            spoken = self.lora_dropout[name](x[self.speech])
            added = self.lora_B[name](self.lora_A[name](spoken)) * self.scaling[name]
            y = y.index_put((self.speech,), added.to(y.dtype), accumulate=True)
        return y

    def merge(self, *_: Any, **__: Any) -> None:
        """Raises AttuneError: a partial adapter cannot be merged."""
        raise AttuneError("a partial adapter cannot be merged: text must not pass through it")


def add_adapter(
    language_model: PreTrainedModel,
    rank: int = RANK,
    ranks: Mapping[str, int] | None = None,
    alpha: int = ALPHA,
    dropout: float = DROPOUT,
) -> PeftModel:
    """`language_model` with a new adapter, which changes nothing yet, on every linear layer of its
    blocks.

    `ranks` are the ranks of modules that need another, by transformers' names or their ends
    ("mlp.down_proj"); 0 leaves one out. Raises AttuneError for a name that no linear layer has.
    """
    ranks = ranks or {}
    unknown = [
        name
        for name in ranks
        if not any(f".{place}".endswith(f".{name}") for place in LINEAR_NAMES.values())
    ]
    if unknown:
        raise AttuneError(
            f"no linear layer is called {unknown[0]}; they are {', '.join(LINEAR_NAMES.values())}"
        )
    config = _config(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        rank_pattern={name: some for name, some in ranks.items() if some},
        target_modules=[place for place in LINEAR_NAMES.values() if _rank_of(place, rank, ranks)],
    )
    with unwarned():
        return get_peft_model(language_model, config)


def load_adapter(language_model: PreTrainedModel, folder: Path, *, trained: bool) -> PeftModel:
    """`language_model` with the adapter that `save_adapter` wrote to `folder`. Raises AttuneError
    where that cannot be read."""
    try:
        saved = json.loads(read_file(folder / CONFIG_NAME))
        weights = load(read_file(folder / SAFETENSORS_WEIGHTS_NAME))
        config = _config(
            **{
                name: saved[name]
                for name in (
                    "r",
                    "lora_alpha",
                    "lora_dropout",
                    "rank_pattern",
                    "alpha_pattern",
                    "target_modules",
                )
            }
        )
        config.inference_mode = not trained
        with unwarned():
            model = get_peft_model(language_model, config)
            if missing := get_peft_model_state_dict(model).keys() ^ weights.keys():
                raise ValueError(f"{min(missing)} is not in both")
            set_peft_model_state_dict(model, weights)
            return model if trained else model.eval()
    except (OSError, UnreadableError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise AttuneError(
            f"the adapter in {folder} cannot be read ({str(error).splitlines()[0]})"
        ) from None


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter of `model` in peft's own format, as safetensors: not by peft itself, which
    would write plain files."""
    folder.mkdir(parents=True, exist_ok=True)
    with unwarned():
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    config = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in model.peft_config[ADAPTER].to_dict().items()
    }
    write_file(folder / SAFETENSORS_WEIGHTS_NAME, save(weights, {"format": "pt"}))
    write_file(folder / CONFIG_NAME, json.dumps(config, indent=2, sort_keys=True).encode())


def set_speech(model: PeftModel, mask: Tensor | None) -> None:
    """Let the positions where `mask` [B, T] is True pass through the adapter from now on; None lets
    none pass.

    The mask is state of the layers, not an argument of the model: transformers' layers hand on no
    argument of ours to their linear layers, and layers under activation checkpointing run once more
    while gradients are computed, until which the mask must stay.
    """
    for _, layer in _layers(model):
        layer.speech = mask


def export_adapter(model: PeftModel, path: Path) -> None:
    """Write the adapter of `model` as a GGUF file that llama.cpp loads for the same language model.
    Raises AttuneError where its layers differ in alpha."""
    stored = {place: name for name, place in LINEAR_NAMES.items()}
    alphas = {layer.lora_alpha[ADAPTER] for _, layer in _layers(model)}
    if len(alphas) != 1:
        raise AttuneError(
            f"llama.cpp knows one alpha for a whole adapter, and this one has {sorted(alphas)}"
        )
    with writing(path) as beside:
        writer = gguf.GGUFWriter(beside, _architecture(model))
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", float(alphas.pop()))
        for name, layer in _layers(model):
            block, _, place = name.partition("layers.")[2].partition(".")
            down, up = (_weight(some[ADAPTER]) for some in (layer.lora_A, layer.lora_B))
            if layer.base_layer.order is not None:  # as llama.cpp orders the layer's own rows
                up = torch.empty_like(up).index_copy_(0, layer.base_layer.order.cpu(), up)
            weight = f"blk.{block}.{stored[place]}.weight"
            writer.add_tensor(f"{weight}.lora_a", down.numpy())
            writer.add_tensor(f"{weight}.lora_b", up.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _config(**arguments: Any) -> LoraConfig:
    config = LoraConfig(**arguments)
    config._register_custom_module({QuantizedLinear: PartialLoraLinear})
    return config


def _rank_of(place: str, rank: int, ranks: Mapping[str, int]) -> int:
    return next((some for name, some in ranks.items() if f".{place}".endswith(f".{name}")), rank)


def _layers(model: PeftModel) -> Iterator[tuple[str, PartialLoraLinear]]:
    modules: nn.Module = model
    for name, module in modules.named_modules():
        if isinstance(module, PartialLoraLinear):
            yield name, module


def _weight(linear: nn.Module) -> Tensor:
    weight = linear.weight
    assert isinstance(weight, Tensor)
    return weight.detach().float().cpu()


def _architecture(model: PeftModel) -> str:
    """llama.cpp's name for the architecture of `model`."""
    base: Any = model.base_model.model
    return str(base.config.model_type).removesuffix("_text")
