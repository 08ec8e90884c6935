"""Minimises smooth losses of a few numbers. Knows no data.

Newton's method with a line search, in which numbers at their bounds are left out. (scipy would do;
but importing it takes 50 MB, 25 of which every process with transformers would take, too, which
imports scipy where it is installed.)
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Loss = Callable[[Numbers], tuple[float, Numbers, Numbers]]
"""A function of F numbers to a value, its gradient [F], and a positive definite curvature [F, F]:
the value's own or a larger one."""

_STEPS, _HALVINGS = 300, 40
_FLAT = 1e-8
_SUFFICIENT = 1e-4
"""The share of the decrease that the gradient promises which a step must reach (Armijo 1966)."""


def minimise_by_newton(
    start: Numbers, loss: Loss, least: Sequence[float | None] | None = None
) -> Numbers:
    """The F numbers, found from `start`, at which `loss` is least. With `least`, no number is below
    its bound there; None is no bound."""
    bounds = np.array(
        [-np.inf if bound is None else bound for bound in least or [None] * len(start)]
    )
    found = np.maximum(start, bounds)
    value, gradient, curvature = loss(found)
    for _ in range(_STEPS):
        free = (found > bounds) | (gradient < 0)
        if not free.any() or np.abs(gradient[free]).max() < _FLAT:
            break
        step = np.zeros(len(found))
        step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        for halving in range(_HALVINGS):
            tried = np.maximum(found + step / 2**halving, bounds)
            tried_value, tried_gradient, tried_curvature = loss(tried)
            if tried_value <= value + _SUFFICIENT * gradient @ (tried - found):
                break
        else:
            break  # as low as rounding lets it be
        found, value, gradient, curvature = tried, tried_value, tried_gradient, tried_curvature
    return np.asarray(found, np.float64)
