"""Minimises smooth losses of a few numbers. Knows no data."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Numbers = NDArray[np.float64]


def minimise(
    start: Numbers, loss: Callable[[Numbers], tuple[float, Numbers]], least: Sequence[float | None] | None = None
) -> Numbers:
    """Where `loss`, which returns its value and its gradient, is least near `start` (L-BFGS-B).

    With `least`, no number is below its own there; None for one that has none.
    """
    bounds = [(bound, None) for bound in least] if least is not None else None
    found: Numbers = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300}).x
    return found
