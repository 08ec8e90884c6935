"""The checkpoint of a training run on disk: weights, the optimizer's moments, and counters. Knows
no losses and no data."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from engines.encryption.files import UnreadableError, readable, write_file
from engines.errors import AttuneError

from .adamw import AdamW

_KEPT_LOSSES = 200
_MOMENTS = "optimizer."


@dataclass
class Run:
    """The progress of a training run."""

    step: int = 0
    seconds: float = 0.0
    """The wall time of the steps, without pauses."""
    processor_seconds: float = 0.0
    """The processor time of the steps, per thread."""
    skipped: int = 0
    """The number of steps, among `step`, that were skipped for lack of memory and taught
    nothing."""
    losses: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(model: nn.Module, optimizer: AdamW, run: Run, path: Path) -> None:
    """Write the checkpoint `path`; a kill leaves the one before it."""
    about = asdict(run) | {"losses": run.losses[-_KEPT_LOSSES:]}
    write_file(path, save(_tensors(model, optimizer), {"run": json.dumps(about)}))


def load_checkpoint(model: nn.Module, optimizer: AdamW, path: Path) -> Run:
    """Restore `model` and `optimizer` from the checkpoint, and return its progress. Raises
    AttuneError where the file is damaged or of another model."""
    try:
        with readable(path) as opened, safe_open(opened, "pt") as file:
            about = json.loads(file.metadata()["run"])
            names = set(file.keys())
            if any(name.startswith(_MOMENTS) for name in names):
                optimizer.begin()
            there = _tensors(model, optimizer)
            if missing := there.keys() - names:
                raise ValueError(f"{min(missing)} is missing")
            # Copied one by one: what is read shares the file's pages, all of which would stay in
            # memory for one that is kept.
            for name, value in there.items():
                saved = file.get_tensor(name)
                if saved.shape != value.shape:
                    raise ValueError(f"{name} has another shape")
                value.copy_(saved)
    except (SafetensorError, UnreadableError, KeyError, ValueError, OSError) as error:
        raise AttuneError(
            f"the checkpoint {path} is damaged ({error}); delete it to start the round anew"
        ) from None
    return Run(**about)


def _tensors(model: nn.Module, optimizer: AdamW) -> dict[str, Tensor]:
    """What training changes: frozen weights are left out."""
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    moments = {
        f"{_MOMENTS}{index}.{name}": value
        for index, about in enumerate(optimizer.moments)
        for name, value in about.items()
    }
    learnt = {
        f"model.{name}": value.detach()
        for name, value in model.state_dict().items()
        if name not in frozen
    }
    return learnt | moments
