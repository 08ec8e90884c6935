"""One bounded, resumable run of optimisation. Knows steps, checkpoints and time, not where samples
come from.

Every step is a function of (weights, seed, step number) alone: batches are drawn and dropout is
seeded per step, so a run that was killed and resumes from its checkpoint takes the same steps as an
undisturbed one.
"""

import math
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from engines.errors import AttuneError

from .adamw import AdamW
from .batches import Draw, S
from .checkpoint import Run, load_checkpoint, save_checkpoint
from .learner import B, Learner
from .out_of_memory import drop_caches, is_shortage

PERSONAL_L2_SP_WEIGHT = 30.0
"""Weight of L2-SP in a round, where half of the samples of a step are replayed. Against a weight of
0.01 the retention set loses 1.3 instead of 3.0 points of word error, and the atypical speaker's own
error is 1.1 instead of 0.4 % (docs/experiments/005, where the learning rates differ, too)."""
MOST_SKIPPED = 5
LONGEST_STEP_SECONDS = 5.0
"""The most that a step counts in the wall time that is reported; the rest of a longer step was a
pause."""


@dataclass(frozen=True)
class Schedule:
    """The length and the learning rate of a run."""

    steps: int
    max_seconds: float
    """Processor seconds per thread that end the run before `steps` on a slow machine; the learning
    rate falls by whichever is further on. Wall time does not count: neither pauses nor a busy
    machine, which seldom runs its idle child, shorten what is learnt."""
    learning_rate: float
    warmup_steps: int = 20
    seed: int = 0
    weight_decay: float = 0.01
    l2_sp_weight: float = 0.0
    """Weight of L2-SP (Li et al. 2018, arXiv 1802.01483): weight decay towards the weights that
    training started from, against forgetting."""
    checkpoint_seconds: float = 60.0
    """The time between checkpoints. While the disk takes one, for some tens of milliseconds, a
    pause has to wait."""
    micro_batches: int = 1
    """The number of micro-batches, computed one after the other, that the samples of a step are cut
    into: the more, the less memory it takes."""


def fit(
    learner: Learner[S, B],
    draw: Draw[S],
    schedule: Schedule,
    checkpoint: Path | None,
) -> Iterator[Run]:
    """Train `learner` in place, yielding the progress after each step, or once where the checkpoint
    is of a finished run.

    A step that runs out of memory is skipped. Raises AttuneError where MOST_SKIPPED steps in a row
    are skipped, or training diverges. `draw(step)` gives the samples of a step; where
    torch.distributed is initialised it gives this process's share of them, and the processes train
    one model. Goes on from `checkpoint` where that file exists, and writes it every
    `schedule.checkpoint_seconds` and when the iterator is closed.
    """
    torch.manual_seed(schedule.seed)
    anchor = (
        {
            name: value.detach().clone()
            for name, value in learner.anchored.named_parameters()
            if value.requires_grad
        }
        if schedule.l2_sp_weight
        else {}
    )
    optimizer = AdamW(
        (value for value in learner.parameters() if value.requires_grad), schedule.weight_decay
    )
    run = (
        load_checkpoint(learner, optimizer, checkpoint)
        if checkpoint is not None and checkpoint.is_file()
        else Run()
    )
    saved_seconds, in_a_row = run.seconds, 0
    learner.train()
    model = DistributedDataParallel(learner) if distributed.is_initialized() else learner
    saves = checkpoint is not None and (
        not distributed.is_initialized() or distributed.get_rank() == 0
    )
    try:
        if fraction(run, schedule) >= 1.0:
            yield run  # killed after its last step: what it did is told all the same
        while fraction(run, schedule) < 1.0:
            began, processor_began = time.monotonic(), time.process_time()
            rate = learning_rate(schedule, run)
            losses = _step_or_none(
                learner, model, optimizer, draw(run.step), schedule, run.step, rate
            )
            if losses is None:
                run.skipped += 1
                in_a_row += 1
                if in_a_row == MOST_SKIPPED:
                    raise AttuneError(
                        f"memory did not suffice for {in_a_row} steps in a row; free some, or train"
                        " less at a time"
                    )
            else:
                in_a_row = 0
                run.losses.append(losses)
                _decay_towards(anchor, learner.anchored, schedule.l2_sp_weight * rate)
            run.step += 1
            run.seconds += min(time.monotonic() - began, LONGEST_STEP_SECONDS)
            run.processor_seconds += _slowest(
                (time.process_time() - processor_began) / torch.get_num_threads()
            )
            if (
                saves
                and checkpoint is not None
                and run.seconds - saved_seconds > schedule.checkpoint_seconds
            ):
                save_checkpoint(learner, optimizer, run, checkpoint)
                saved_seconds = run.seconds
            yield run
    finally:
        if saves and checkpoint is not None:
            save_checkpoint(learner, optimizer, run, checkpoint)
        learner.eval()


def describe(run: Run, names: Container[str]) -> str:
    """The progress of a run, for people, with the last losses that are among `names`."""
    losses = run.losses[-1] if run.losses else {}
    parts = [
        f"step {run.step}",
        *(f"{name} {value:.2f}" for name, value in losses.items() if name in names),
    ]
    return ", ".join([*parts, f"{run.skipped} skipped"] if run.skipped else parts)


def recent_means(run: Run) -> dict[str, float]:
    """The mean of each loss over the last fifty steps."""
    return _means(run.losses[-50:])


def tail_means(run: Run) -> dict[str, float]:
    """The mean of each loss over the last tenth of the steps."""
    tail = _means(run.losses[-max(1, len(run.losses) // 10) :])
    return {name: round(value, 4) for name, value in tail.items()}


def _means(losses: Sequence[dict[str, float]]) -> dict[str, float]:
    names = losses[0] if losses else ()
    return {name: sum(one[name] for one in losses) / len(losses) for name in names}


def fraction(run: Run, schedule: Schedule) -> float:
    """The fraction of a run that is done, 0 to 1, by steps or by time, whichever is further on."""
    return min(1.0, max(run.step / schedule.steps, run.processor_seconds / schedule.max_seconds))


def learning_rate(schedule: Schedule, run: Run) -> float:
    """The learning rate of the next step: a linear warm-up, then a cosine to a thirtieth."""
    warm = min(1.0, (run.step + 1) / schedule.warmup_steps)
    return (
        schedule.learning_rate
        * warm
        * max(1 / 30, 0.5 * (1 + math.cos(math.pi * fraction(run, schedule))))
    )


def _step_or_none(
    learner: Learner[S, B],
    model: nn.Module,
    optimizer: AdamW,
    samples: list[S],
    schedule: Schedule,
    step: int,
    rate: float,
) -> dict[str, float] | None:
    """The losses of `_step`; None where it ran out of memory. One of several processes raises
    instead: it cannot leave out a step that the others take."""
    try:
        return _step(learner, model, optimizer, samples, schedule, step, rate)
    except (MemoryError, RuntimeError, OSError) as error:
        if distributed.is_initialized() or not is_shortage(error):
            raise
    optimizer.clear()
    drop_caches()
    return None


def _step(
    learner: Learner[S, B],
    model: nn.Module,
    optimizer: AdamW,
    samples: list[S],
    schedule: Schedule,
    step: int,
    rate: float,
) -> dict[str, float]:
    torch.manual_seed(schedule.seed * 1_000_003 + step)
    generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + step)
    device = optimizer.trained[0].device
    found: dict[str, float] = {}
    for micro_batch in _micro_batches(samples, schedule.micro_batches):
        batch = learner.collate(micro_batch).to(device)
        share = len(micro_batch) / len(samples)
        with torch.autocast(
            device.type,
            torch.bfloat16,
            enabled=device.type == "cuda" and torch.cuda.is_bf16_supported(),
        ):
            losses = model(batch, generator)
            total = learner.weighted(losses)
        if not torch.isfinite(total):
            raise AttuneError(
                f"training diverged at step {step} (loss {total.item()}); lower adapt.learning_rate"
            )
        torch.autograd.backward(share * total)
        for name, value in losses.items():
            found[name] = found.get(name, 0.0) + share * float(value.detach())
    nn.utils.clip_grad_norm_(optimizer.trained, 1.0)
    optimizer.step(rate)
    optimizer.clear()  # now, so that they take no memory in the next pass
    return found


def _micro_batches(samples: list[S], count: int) -> list[list[S]]:
    """Cut `samples` into `count` micro-batches, or into as many as there are samples if those are
    fewer. Neighbours, which are of like length, stay together."""
    size = math.ceil(len(samples) / count)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _decay_towards(anchor: dict[str, Tensor], anchored: nn.Module, strength: float) -> None:
    """L2-SP as decoupled weight decay: move each weight towards its `anchor` by a share of the
    distance."""
    with torch.no_grad():
        for name, start in anchor.items():
            anchored.get_parameter(name).lerp_(start, strength)


def _slowest(seconds: float) -> float:
    """The longest time that any of the processes took, so that all end at the same step."""
    if not distributed.is_initialized():
        return seconds
    longest = torch.tensor(seconds)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    return float(longest)
