"""The processes that train one model together, under torchrun. Knows no models."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

_LONGEST_WAIT = timedelta(days=1)
"""The longest that one process waits for another: one may encode a part of a corpus meanwhile."""


@dataclass(frozen=True)
class TrainingProcess:
    """One of the processes that train together."""

    rank: int
    world: int
    """The number of processes."""
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def device_name(self) -> str:
        """What computes, for a card."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name()
        return f"processor, {self.world} x {torch.get_num_threads()} threads"

    def wait(self) -> None:
        """Wait until every process is here."""
        if distributed.is_initialized():
            distributed.barrier()


def join_processes() -> TrainingProcess:
    """Join the other processes where torchrun started several."""
    cuda = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if cuda else "gloo", timeout=_LONGEST_WAIT)
    rank = distributed.get_rank() if world > 1 else 0
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    return TrainingProcess(rank, world, device)
