"""What a training run trains: a module with its losses. Knows no optimisation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from .batches import S
from .samples import Batch, Sample, collate


class Movable(Protocol):
    """A batch, which can be moved to a device."""

    def to(self: "B", device: torch.device) -> "B": ...


B = TypeVar("B", bound=Movable)


class Learner(nn.Module, ABC, Generic[S, B]):
    """The module that a run trains, in one process or in several, on samples S in batches B."""

    loss_weights: ClassVar[dict[str, float]]

    @property
    @abstractmethod
    def anchored(self) -> nn.Module:
        """The part that is kept; L2-SP holds it near its starting weights."""

    @abstractmethod
    def collate(self, samples: Sequence[S]) -> B:
        """Join samples into the batch that `forward` takes."""

    @abstractmethod
    def forward(self, batch: B, generator: torch.Generator) -> dict[str, Tensor]:
        """The unweighted losses of a batch, by the names of `loss_weights`; random choices are
        drawn from `generator`."""

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum of the losses, which is minimised."""
        return torch.stack([self.loss_weights[name] * loss for name, loss in losses.items()]).sum()


class ProjectorLearner(Learner[Sample, Batch]):
    """A projector with its losses."""

    projector: nn.Module

    @property
    def anchored(self) -> nn.Module:
        return self.projector

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return collate(samples)
