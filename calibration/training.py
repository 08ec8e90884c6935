"""One bounded, resumable run of optimisation. Knows steps, checkpoints and time, not where samples come from.

Every step is a function of (weights, seed, step number) alone: batches are drawn and dropout is seeded per step, so a run that
was killed and goes on from its checkpoint takes the steps that an undisturbed run would have taken.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engines.errors import AttuneError

from .cif import CifProjector
from .embedlink import EmbedLink, Sample, collate, weighted

LONGEST_STEP_SECONDS = 5.0
"""What a step counts at most in the wall time that is reported; the rest of a longer one was a pause."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    steps: int
    max_seconds: float
    """Processor seconds per thread that end the run before `steps` on a slow machine; the learning rate falls by whichever is
    further on. Not wall time: neither pauses nor a busy machine, which seldom runs its idle child, shorten what is learnt."""
    learning_rate: float
    warmup_steps: int = 20
    seed: int = 0
    weight_decay: float = 0.01
    pull: float = 0.0
    """Strength of the pull toward the starting weights (L2-SP), against forgetting."""
    checkpoint_seconds: float = 30.0


@dataclass
class Run:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    """Wall time of the steps, pauses left out."""
    processor_seconds: float = 0.0
    """Per thread."""
    losses: list[dict[str, float]] = field(default_factory=list)

    def fraction(self, plan: Plan) -> float:
        """0 to 1, by steps or by time, whichever is further on."""
        return min(1.0, max(self.step / plan.steps, self.processor_seconds / plan.max_seconds))


def fit(
    projector: CifProjector,
    embedlink: EmbedLink,
    draw: Callable[[int], list[Sample]],
    plan: Plan,
    checkpoint: Path | None,
) -> Iterator[Run]:
    """Train `projector` in place, yielding the state after each step, or once where the checkpoint is of a finished run.

    `draw(step)` gives the samples of a step. Goes on from `checkpoint` where that file exists, writes it every
    `plan.checkpoint_seconds` and when the iterator is closed.
    """
    torch.manual_seed(plan.seed)
    both = nn.ModuleDict({"projector": projector, "embedlink": embedlink})
    anchor = {name: value.detach().clone() for name, value in projector.named_parameters()} if plan.pull else {}
    optimizer = torch.optim.AdamW(both.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    run = _resume(both, optimizer, checkpoint) if checkpoint is not None and checkpoint.is_file() else Run()
    saved_seconds = run.seconds
    both.train()
    try:
        if run.fraction(plan) >= 1.0:
            yield run  # killed after its last step: what it did is told all the same
        while run.fraction(plan) < 1.0:
            began, processor_began = time.monotonic(), time.process_time()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(plan, run)
            run.losses.append(_step(projector, embedlink, optimizer, draw(run.step), plan, run.step, anchor))
            run.step += 1
            run.seconds += min(time.monotonic() - began, LONGEST_STEP_SECONDS)
            run.processor_seconds += (time.process_time() - processor_began) / torch.get_num_threads()
            if checkpoint is not None and run.seconds - saved_seconds > plan.checkpoint_seconds:
                _save(both, optimizer, run, checkpoint)
                saved_seconds = run.seconds
            yield run
    finally:
        if checkpoint is not None:
            _save(both, optimizer, run, checkpoint)
        projector.eval()


def learning_rate(plan: Plan, run: Run) -> float:
    """Linear warm-up, then a cosine to a thirtieth."""
    warm = min(1.0, (run.step + 1) / plan.warmup_steps)
    return plan.learning_rate * warm * max(1 / 30, 0.5 * (1 + math.cos(math.pi * run.fraction(plan))))


def _step(
    projector: CifProjector,
    embedlink: EmbedLink,
    optimizer: torch.optim.Optimizer,
    samples: list[Sample],
    plan: Plan,
    step: int,
    anchor: dict[str, Tensor],
) -> dict[str, float]:
    torch.manual_seed(plan.seed * 1_000_003 + step)
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
    batch = collate(samples)
    losses = embedlink(projector(batch.stacked, batch.mask, batch.units), batch, generator)
    total = weighted(losses)
    if not torch.isfinite(total):
        raise AttuneError(f"training diverged at step {step} (loss {total.item()}); lower adapt.learning_rate")
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(total)
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    if anchor:
        strength = plan.pull * optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            for name, value in projector.named_parameters():
                value.lerp_(anchor[name], strength)
    return {name: float(value.detach()) for name, value in losses.items()}


def _save(both: nn.Module, optimizer: torch.optim.Optimizer, run: Run, path: Path) -> None:
    tensors = {f"model.{name}": value.detach() for name, value in both.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    about = {"step": run.step, "seconds": run.seconds, "processor_seconds": run.processor_seconds, "losses": run.losses[-200:]}
    beside = path.with_suffix(".tmp")
    save_file(tensors, beside, {"run": json.dumps(about)})
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def _resume(both: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> Run:
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise AttuneError(f"the checkpoint {path} is damaged ({error}); delete it to start the round anew") from None
    both.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, moment = name.split(".")
            state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Run(about["step"], about["seconds"], about["processor_seconds"], about["losses"])
