"""Where a run of training stands, on disk: weights, the optimizer's moments, and counters. Knows no
losses and no data."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engines.errors import AttuneError
from engines.files import write_beside

from .adamw import AdamW

_KEPT_LOSSES = 200
_MOMENTS = "optimizer."


@dataclass
class Run:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    """Wall time of the steps, pauses left out."""
    processor_seconds: float = 0.0
    """Per thread."""
    skipped: int = 0
    """Steps, among `step`, that memory did not suffice for: they taught nothing."""
    losses: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(model: nn.Module, optimizer: AdamW, run: Run, path: Path) -> None:
    """Write where `run` stands to the checkpoint `path`; a kill leaves the one before it."""
    about = asdict(run) | {"losses": run.losses[-_KEPT_LOSSES:]}
    with write_beside(path) as beside:
        save_file(_tensors(model, optimizer), beside, {"run": json.dumps(about)})


def load_checkpoint(model: nn.Module, optimizer: AdamW, path: Path) -> Run:
    """Put `model` and `optimizer` where the checkpoint left them. Raises AttuneError where it is
    damaged or of another model."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["run"])
            names = set(file.keys())
            if any(name.startswith(_MOMENTS) for name in names):
                optimizer.begin()
            there = _tensors(model, optimizer)
            if unlike := names ^ there.keys():
                raise ValueError(f"{min(unlike)} is not in both it and the model")
            # Copied one by one: what is read shares the file's pages, all of which would stay in
            # memory for one that is kept.
            for name, value in there.items():
                saved = file.get_tensor(name)
                if saved.shape != value.shape:
                    raise ValueError(f"{name} has another shape")
                value.copy_(saved)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise AttuneError(
            f"the checkpoint {path} is damaged ({error}); delete it to start the round anew"
        ) from None
    return Run(**about)


def _tensors(model: nn.Module, optimizer: AdamW) -> dict[str, Tensor]:
    moments = {
        f"{_MOMENTS}{index}.{name}": value
        for index, about in enumerate(optimizer.moments)
        for name, value in about.items()
    }
    return {f"model.{name}": value.detach() for name, value in model.state_dict().items()} | moments
