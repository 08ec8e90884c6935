"""Exports Whisper's encoder, and any other module, to ONNX. Knows no audio."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.encryption.files import writing

from ..recogniser.whisper_model import load_encoder

OPSET = 18


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
    with writing(path) as beside, warnings.catch_warnings():
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
