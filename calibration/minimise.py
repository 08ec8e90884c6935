"""Minimises smooth losses of a few numbers. Knows no data."""

from collections.abc import Callable

import torch
from torch import Tensor


def minimise(found: Tensor, loss: Callable[[], Tensor]) -> None:
    """Move `found`, a leaf that wants a gradient, to where `loss` is least (L-BFGS over everything at once)."""
    optimizer: torch.optim.Optimizer = torch.optim.LBFGS([found], max_iter=300, line_search_fn="strong_wolfe")

    def with_gradient() -> float:
        optimizer.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return float(value.detach())

    optimizer.step(with_gradient)
