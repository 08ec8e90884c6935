"""Low-rank changes to Whisper as layers of peft's, in encoder and decoder alike. Knows no data.

The encoder has to learn, too: a decoder that learns alone learns the user's sentences by heart and
hears no others.
"""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear
from torch import nn
from transformers import WhisperModel

from engines.errors import AttuneError
from engines.types import Float32
from engines.whisper.recogniser_weights import LowRank, RecogniserWeights

from ..peft_warnings import unwarned

RANK = 32
_ADAPTER = "default"
"""peft's name for the only adapter."""
_LINEAR_NAMES = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def add_lora(
    whisper: WhisperModel,
    start: RecogniserWeights | None = None,
    rank: int = RANK,
    dropout: float = 0.0,
) -> PeftModel:
    """`whisper` with a low-rank layer beside each linear layer of its blocks, which alone is
    trained: those of `start`, in their own rank, or new ones of `rank`, which change nothing yet.

    Raises AttuneError where `start` is of another model.
    """
    if start is not None:
        rank = max(len(change.down) for change in start.changes.values())
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=dropout, target_modules=_LINEAR_NAMES)
    with unwarned():
        adapted = get_peft_model(whisper, config)
    if start is not None:
        _set(adapted, start)
    return adapted


def weights_of(adapted: PeftModel, silent_tail: Float32, whisper_sha256: str) -> RecogniserWeights:
    """The changes of the layers that `add_lora` added, as they are now."""
    changes = {
        name: LowRank(
            _values(layer.lora_A[_ADAPTER]),
            _values(layer.lora_B[_ADAPTER]) * layer.scaling[_ADAPTER],
        )
        for name, layer in _layers(adapted).items()
    }
    return RecogniserWeights(changes, silent_tail, whisper_sha256)


def whisper_of(adapted: PeftModel) -> WhisperModel:
    """The model with the low-rank layers in it."""
    whisper = adapted.base_model.get_submodule("model")
    assert isinstance(whisper, WhisperModel)
    return whisper


def _layers(adapted: PeftModel) -> dict[str, Linear]:
    """The layers of peft's, by transformers' names."""
    whisper = whisper_of(adapted)
    return {name: module for name, module in whisper.named_modules() if isinstance(module, Linear)}


def _set(adapted: PeftModel, start: RecogniserWeights) -> None:
    layers = _layers(adapted)
    if unlike := layers.keys() ^ start.changes.keys():
        raise AttuneError(f"the recogniser to start from has other layers ({min(unlike)})")
    with torch.no_grad():
        for name, layer in layers.items():
            change = start.changes[name]
            for module, values in (
                (layer.lora_A[_ADAPTER], change.down),
                (layer.lora_B[_ADAPTER], change.up / layer.scaling[_ADAPTER]),
            ):
                if module.get_parameter("weight").shape != values.shape:
                    raise AttuneError(
                        f"the recogniser to start from has {name} in another shape: it was made"
                        " for another model"
                    )
                module.get_parameter("weight").copy_(torch.from_numpy(values))


def _values(layer: nn.Module) -> Float32:
    values: Float32 = layer.get_parameter("weight").detach().float().numpy()
    return values
