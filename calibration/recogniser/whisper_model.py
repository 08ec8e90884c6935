"""Whisper as a torch model with the serving weights, which encodes no more than was spoken. Knows
no training and no audio.

The layers are transformers' own; only the check of its encoder's `forward`, which insists on a
padded window of 30 s, is left out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperConfig, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from engines.types import Float32
from engines.whisper.ctranslate2_file import Variables, read_ctranslate2
from engines.whisper.encoder import silent_window
from engines.whisper.recogniser_weights import LINEAR_LAYERS, place_of
from engines.whisper.window_decoder import TAIL_FRAMES

_NORMS = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "encoder_attn_layer_norm": "attention/layer_norm",
    "final_layer_norm": "ffn/layer_norm",
}


class TrimmedEncoder(nn.Module):
    """transformers' WhisperEncoder, for any even number of log-mel columns up to 3,000."""

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, mel: Tensor) -> Tensor:
        """[B, mel_bins, 2T] log-mel to [B, T, D] frames."""
        encoder = self.encoder
        hidden = F.gelu(encoder.conv1(mel))
        hidden = F.gelu(encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        for layer in encoder.layers:
            output = layer(hidden, None)
            hidden = output[0] if isinstance(output, tuple) else output
        frames: Tensor = encoder.layer_norm(hidden)
        return frames


def load_whisper(model_bin: Path) -> WhisperModel:
    """The model with the weights of a CTranslate2 `model.bin`, float32, in evaluation mode. Raises
    AttuneError where the file cannot be read."""
    variables = read_ctranslate2(model_bin)
    model: WhisperModel = WhisperModel(_config(variables))
    model.load_state_dict(dict(_state(variables)))
    model.train(False)
    return model


def load_encoder(model_bin: Path) -> TrimmedEncoder:
    """The encoder alone, as `load_whisper` loads it."""
    return TrimmedEncoder(load_whisper(model_bin).encoder).eval()


def silent_tail(encoder: TrimmedEncoder) -> Float32:
    """[50, D] the end of a window of 30 s in which nobody speaks, which the decoder is to find
    behind an utterance's own frames."""
    window = torch.from_numpy(silent_window(encoder.encoder.config.num_mel_bins))
    with torch.no_grad():
        frames: Float32 = encoder(window.unsqueeze(0))[0, -TAIL_FRAMES:].numpy()
    return frames


def _config(variables: Variables) -> WhisperConfig:
    width, mel_bins, _ = variables["encoder/conv1/weight"].shape
    vocabulary, _ = variables["decoder/embeddings/weight"].shape
    heads = int(variables["encoder/num_heads"])
    encoder_layers, decoder_layers = (_layers(variables, side) for side in ("encoder", "decoder"))
    return WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=mel_bins,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
    )


def _layers(variables: Variables, side: str) -> int:
    return sum(
        name.startswith(f"{side}/") and name.endswith("ffn/linear_0/weight") for name in variables
    )


def _state(variables: Variables) -> Iterator[tuple[str, Tensor]]:
    """transformers' state of the model, of CTranslate2's variables."""

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(variables[name].astype(np.float32))

    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield f"encoder.{conv}.{kind}", tensor(f"encoder/{conv}/{kind}")
    yield "decoder.embed_tokens.weight", tensor("decoder/embeddings/weight")
    for side in ("encoder", "decoder"):
        positions = tensor(f"{side}/position_encodings/encodings")
        yield f"{side}.embed_positions.weight", positions
        yield from _norm(variables, f"{side}.layer_norm", f"{side}/layer_norm")
        for index in range(_layers(variables, side)):
            block = f"{side}.layers.{index}"
            for ours, theirs in _NORMS.items():
                if f"{side}/layer_{index}/{theirs}/gamma" in variables:
                    yield from _norm(variables, f"{block}.{ours}", f"{side}/layer_{index}/{theirs}")
            for layer in LINEAR_LAYERS:
                yield from _linear(variables, f"{block}.{layer}")


def _norm(variables: Variables, ours: str, theirs: str) -> Iterator[tuple[str, Tensor]]:
    for kind, letter in (("weight", "gamma"), ("bias", "beta")):
        yield f"{ours}.{kind}", torch.from_numpy(variables[f"{theirs}/{letter}"].astype(np.float32))


def _linear(variables: Variables, name: str) -> Iterator[tuple[str, Tensor]]:
    place = place_of(name)
    if place.variable not in variables:
        return  # an encoder's blocks have no attention to an encoder
    weight = variables[place.variable].astype(np.float32)
    yield f"{name}.weight", torch.from_numpy(place.of(weight))
    if not name.endswith("k_proj"):  # Whisper's keys have no bias; CTranslate2 stores zeros
        bias = variables[place.variable.removesuffix("weight") + "bias"].astype(np.float32)
        yield f"{name}.bias", torch.from_numpy(place.of(bias))
