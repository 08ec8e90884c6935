"""A base generation with a small, untrained projector: what jobs start from in tests."""

from pathlib import Path

import torch

from calibration.cif import CifConfig, CifProjector
from calibration.projector_export import export_projector
from calibration.projector_file import save_projector
from engines.card import Card
from engines.generation import write_generation


def write_untrained_base(folder: Path) -> Path:
    """Write generation 0 below `folder` and return the root of the generations."""
    torch.manual_seed(0)
    projector = CifProjector(CifConfig(384, 576, 49_152, width=48, heads=2, layers_before=1, layers_after=1))
    projector.heard_tokens = set(range(300, 400))
    projector.keys.phonemes[:, :3] = torch.randint(1, 70, (49_152, 3))
    save_projector(projector, folder / "projector.safetensors")
    export_projector(projector, folder / "projector.onnx")
    card = Card(number=0, parent=None, created_at="2026-01-01T00:00:00+00:00", recipe="untrained, for a test")
    files = {name: folder / name for name in ("projector.onnx", "projector.safetensors")}
    write_generation(folder / "generations", 0, card, files)
    return folder / "generations"
