"""A base generation with a small, untrained projector: what jobs start from in tests."""

from pathlib import Path

import torch

from calibration.export.projector import export_projector
from calibration.export.projector_file import save_projector
from calibration.projector.cif import CifConfig, CifProjector
from engines.files import sha256_of
from engines.generations.card import Card
from engines.generations.folder import write_generation
from engines.jobs.messages import EngineFiles

KITCHEN = (24202, 335, 260, 1420, 281, 260, 9902, 30)
"""SmolLM2's tokens of "Turn on the light in the kitchen."."""


def untrained_projector(reads_first_pass: bool = False) -> CifProjector:
    """A small projector for the models that are served, in evaluation mode."""
    torch.manual_seed(0)
    projector = CifProjector(
        CifConfig(
            384,
            576,
            49_152,
            width=48,
            heads=2,
            layers_before=1,
            layers_after=1,
            reads_first_pass=reads_first_pass,
        )
    )
    projector.known_tokens = set(KITCHEN if reads_first_pass else range(300, 400))
    projector.keys.phonemes[:, :3] = torch.randint(1, 70, (49_152, 3))
    return projector.eval()


def write_first_pass_projector(folder: Path) -> Path:
    """Write weights and graph of an untrained projector that reads first-pass transcripts; returns
    `folder`."""
    return _write(untrained_projector(reads_first_pass=True), folder)


def write_untrained_base(folder: Path, made_for: EngineFiles | None = None) -> Path:
    """Write generation 0 below `folder`, for those models where it is to be served, and return the
    root of the generations."""
    _write(untrained_projector(), folder)
    card = Card(
        number=0,
        parent=None,
        created_at="2026-01-01T00:00:00+00:00",
        recipe="untrained, for a test",
    )
    if made_for is not None:
        sums = {
            "language_model_sha256": made_for.language_model,
            "encoder_sha256": made_for.encoder_weights_file,
        }
        card = card.model_copy(update={name: sha256_of(path) for name, path in sums.items()})
    files = {name: folder / name for name in ("projector.onnx", "projector.safetensors")}
    write_generation(folder / "generations", 0, card, files)
    return folder / "generations"


def _write(projector: CifProjector, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_projector(projector, folder / "projector.safetensors")
    export_projector(projector, folder / "projector.onnx")
    return folder
