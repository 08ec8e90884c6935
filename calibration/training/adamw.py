"""AdamW over torch's own functional form. Knows moments and steps, not what is trained or how long.

`torch.optim.AdamW` is not used, because making one imports torch's compiler, which no run here uses
and which costs 70 MiB of a budget that may be 1 GiB.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw


class AdamW:
    """AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), and torch's
    defaults for the moments."""

    def __init__(self, trained: Iterable[nn.Parameter], weight_decay: float) -> None:
        self.trained = list(trained)
        self.moments: list[dict[str, Tensor]] = []
        """The moments of each parameter: `step` (a scalar), `exp_avg` and `exp_avg_sq`; empty
        before the first step."""
        self._weight_decay = weight_decay

    def begin(self) -> None:
        """Make the moments, all zero, where there are none yet."""
        self.moments = self.moments or [_no_moments(value) for value in self.trained]

    def step(self, learning_rate: float) -> None:
        """Move every parameter by its gradient; one without a gradient stays, and keeps its
        moments."""
        self.begin()
        moved = [
            (value, value.grad, about)
            for value, about in zip(self.trained, self.moments, strict=True)
            if value.grad is not None
        ]
        with torch.no_grad():
            adamw(
                [value for value, _, _ in moved],
                [gradient for _, gradient, _ in moved],
                [about["exp_avg"] for _, _, about in moved],
                [about["exp_avg_sq"] for _, _, about in moved],
                [],
                [about["step"] for _, _, about in moved],
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=learning_rate,
                weight_decay=self._weight_decay,
                eps=1e-8,
                maximize=False,
            )

    def clear(self) -> None:
        """Drop the gradients, so that they take no memory."""
        for value in self.trained:
            value.grad = None


def _no_moments(value: Tensor) -> dict[str, Tensor]:
    return {
        "step": torch.tensor(0.0),
        "exp_avg": torch.zeros_like(value),
        "exp_avg_sq": torch.zeros_like(value),
    }
