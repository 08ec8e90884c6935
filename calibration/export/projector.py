"""Exports a projector as the graph that serves it. Apart from `export/projector_file.py`, because
importing the exporter takes 140 MB."""

import json
from pathlib import Path

import torch

from engines.alignment.projector import KNOWN_TOKENS

from ..projector.cif import CifProjector, ProjectorGraph
from .encoder import export_onnx


def export_projector(projector: CifProjector, path: Path) -> None:
    """Write the serving graph, with the inputs and outputs of `ProjectorGraph` and any sizes G and
    N."""
    config = projector.config
    inputs = {
        "stacked": torch.zeros(1, 50, config.stack * config.frame_width),
        "asked": torch.tensor([0]),
    }
    groups = torch.export.Dim("groups", min=2, max=1500 // config.stack)
    shapes: dict[str, dict[int, object]] = {"stacked": {1: groups}, "asked": {}}
    outputs = ["vectors", "count", "quantity", "phonemes", "keys", "pronunciations"]
    if config.reads_first_pass:
        inputs |= {  # the names in stored graphs, and so of the parameters of ProjectorGraph
            "draft": torch.zeros(1, 12, config.embedding_width + config.key_width),
            "draft_count": torch.tensor([12]),
        }
        shapes |= {"draft": {1: torch.export.Dim("tokens", min=1, max=1000)}, "draft_count": {}}
    metadata = {KNOWN_TOKENS: json.dumps(sorted(projector.known_tokens))}
    export_onnx(
        ProjectorGraph(projector).eval(),
        tuple(inputs.values()),
        list(inputs),
        outputs,
        shapes,
        path,
        metadata,
    )
