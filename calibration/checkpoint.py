"""Where a run of training stands, on disk: weights, the optimizer's moments, and counters. Knows no losses and no data."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engines.errors import AttuneError

_KEPT_LOSSES = 200


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


def save_checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer, run: Run, path: Path) -> None:
    """Write the checkpoint `path` beside and rename it, flushed."""
    tensors = {f"model.{name}": value.detach() for name, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    about = asdict(run) | {"losses": run.losses[-_KEPT_LOSSES:]}
    beside = path.with_suffix(".tmp")
    save_file(tensors, beside, {"run": json.dumps(about)})
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def load_checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> Run:
    """Put `model` and `optimizer` where the checkpoint left them. Raises AttuneError where it is damaged."""
    there = model.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["run"])
            # Copied one by one: what is read shares the file's pages, all of which would stay in memory for one that is kept.
            for name in sorted(file.keys()):
                kind, _, rest = name.partition(".")
                if kind == "model":
                    there.pop(rest).copy_(file.get_tensor(name))
                else:
                    index, moment = rest.split(".")
                    state.setdefault(int(index), {})[moment] = file.get_tensor(name).clone()
    except (SafetensorError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise AttuneError(f"the checkpoint {path} is damaged ({error}); delete it to start the round anew") from None
    if there:
        raise AttuneError(f"the checkpoint {path} lacks {', '.join(sorted(there))}; delete it to start the round anew")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Run(**about)
