"""Whisper's encoder as a torch module with the serving weights, and its export to ONNX. Knows no
audio.

The layers are transformers' own; only the length check of its `forward`, which insists on a padded
window of 30 s, is left out.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from engines.files import write_beside

from .ctranslate2_weights import read_ctranslate2

OPSET = 18


class TrimmedEncoder(nn.Module):
    """transformers' WhisperEncoder, for any even number of log-mel columns up to 3,000."""

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, mel: Tensor) -> Tensor:
        """[B, mel_bins, 2T] log-mel to [B, T, D] frames."""
        encoder = self.encoder
        hidden = nn.functional.gelu(encoder.conv1(mel))
        hidden = nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        for layer in encoder.layers:
            output = layer(hidden, None)
            hidden = output[0] if isinstance(output, tuple) else output
        frames: Tensor = encoder.layer_norm(hidden)
        return frames


def load_encoder(model_bin: Path) -> TrimmedEncoder:
    """The encoder with the weights of a CTranslate2 `model.bin`, float32, in evaluation mode."""
    variables = read_ctranslate2(model_bin)

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(variables["encoder/" + name].astype(np.float32))

    width, mel_bins, _ = variables["encoder/conv1/weight"].shape
    layers = sum(
        name.endswith("ffn/linear_0/weight") and name.startswith("encoder/") for name in variables
    )
    encoder = WhisperEncoder(
        WhisperConfig(
            d_model=width,
            encoder_layers=layers,
            encoder_attention_heads=int(variables["encoder/num_heads"]),
            encoder_ffn_dim=4 * width,
            num_mel_bins=mel_bins,
        )
    )
    state = {"embed_positions.weight": tensor("position_encodings/encodings")}
    for ours, theirs in (("layer_norm", "layer_norm"), *_layer_norms(layers)):
        state[f"{ours}.weight"] = tensor(f"{theirs}/gamma")
        state[f"{ours}.bias"] = tensor(f"{theirs}/beta")
    for ours, theirs in (("conv1", "conv1"), ("conv2", "conv2"), *_linears(layers)):
        state[f"{ours}.weight"] = tensor(f"{theirs}/weight")
        state[f"{ours}.bias"] = tensor(f"{theirs}/bias")
    for index in range(layers):
        stacked = tensor(f"layer_{index}/self_attention/linear_0/weight").chunk(3)
        biases = tensor(f"layer_{index}/self_attention/linear_0/bias").chunk(3)
        for letter, weight, bias in zip("qkv", stacked, biases, strict=True):
            state[f"layers.{index}.self_attn.{letter}_proj.weight"] = weight
            if letter != "k":  # Whisper's key projection has no bias; CTranslate2 stores zeros
                state[f"layers.{index}.self_attn.{letter}_proj.bias"] = bias
    encoder.load_state_dict(state)
    return TrimmedEncoder(encoder).eval()


def _layer_norms(layers: int) -> list[tuple[str, str]]:
    names = (
        ("self_attn_layer_norm", "self_attention/layer_norm"),
        ("final_layer_norm", "ffn/layer_norm"),
    )
    return [
        (f"layers.{i}.{ours}", f"layer_{i}/{theirs}")
        for i in range(layers)
        for ours, theirs in names
    ]


def _linears(layers: int) -> list[tuple[str, str]]:
    names = (
        ("self_attn.out_proj", "self_attention/linear_1"),
        ("fc1", "ffn/linear_0"),
        ("fc2", "ffn/linear_1"),
    )
    return [
        (f"layers.{i}.{ours}", f"layer_{i}/{theirs}")
        for i in range(layers)
        for ours, theirs in names
    ]


def export_encoder(model_bin: Path, path: Path) -> None:
    """Write the encoder of `model_bin` as the ONNX file `path`, with the input `mel` [1, mel_bins,
    2T] and the output `frames` [1, T, D], float32."""
    encoder = load_encoder(model_bin)
    mel_bins = encoder.encoder.config.num_mel_bins
    half = torch.export.Dim("half", min=4, max=1500)
    export_onnx(
        encoder, (torch.zeros(1, mel_bins, 256),), ["mel"], ["frames"], {"mel": {2: 2 * half}}, path
    )


def export_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic_shapes: dict[str, dict[int, object]],
    path: Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Export `module` to one self-contained ONNX file with `metadata`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_beside(path) as beside, warnings.catch_warnings():
        # Torch's exporter warns of its own internals, which nobody here can mend.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # it is None only for the exporter before dynamo's
        program.model.metadata_props.update(metadata or {})
        program.save(beside, external_data=False)
