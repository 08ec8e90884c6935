"""The projector on disk: safetensors with its sizes in the metadata, and the ONNX graph that serves. Knows no training."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engines.errors import AttuneError
from engines.projector import HEARD_TOKENS

from .cif import CifConfig, CifProjector, ProjectorGraph
from .encoder_export import export_onnx


def save_projector(projector: CifProjector, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write weights and sizes to `path`, flushed."""
    tensors = {name: value.detach().to(dtype).contiguous() for name, value in projector.state_dict().items()}
    about = {"cif": json.dumps(asdict(projector.config)), HEARD_TOKENS: json.dumps(sorted(projector.heard_tokens))}
    save_file(tensors, path, about)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def load_projector(path: Path) -> CifProjector:
    """Read a projector back as float32, in evaluation mode. Raises AttuneError where the file is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            config = CifConfig(**json.loads(file.metadata()["cif"]))
            heard = json.loads(file.metadata()[HEARD_TOKENS])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise AttuneError(
            f"the projector {path} cannot be read ({error}); choose another with `attune generations promote`"
        ) from None
    projector = CifProjector(config)
    projector.load_state_dict(state)
    projector.heard_tokens = set(heard)
    return projector.eval()


def export_projector(projector: CifProjector, path: Path) -> None:
    """Write the serving graph: input `stacked` [1, G, stack * D]; outputs `vectors` [1, G, E], `count` [1], `quantity` [1]."""
    config = projector.config
    example = torch.zeros(1, 50, config.stack * config.frame_width)
    groups = torch.export.Dim("groups", min=2, max=1500 // config.stack)
    metadata = {HEARD_TOKENS: json.dumps(sorted(projector.heard_tokens))}
    export_onnx(
        ProjectorGraph(projector).eval(),
        (example,),
        ["stacked"],
        ["vectors", "count", "quantity"],
        {"stacked": {1: groups}},
        path,
        metadata,
    )
