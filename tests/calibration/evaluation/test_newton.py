"""Losses of a few numbers are least where they are said to be."""

import numpy as np
import pytest
import torch

from calibration.evaluation.fit_confidence import logistic_regression
from calibration.evaluation.newton import Loss, Numbers, minimise_by_newton


def bowl(middle: Numbers, widths: Numbers) -> Loss:
    def loss(found: Numbers) -> tuple[float, Numbers, Numbers]:
        away = found - middle
        return float(widths @ away**2), 2 * widths * away, 2 * np.diag(widths)

    return loss


def test_a_bowl_is_least_in_its_middle_or_at_the_bound_nearest_to_it() -> None:
    middle, widths = np.array([3.0, -2.0, 0.5]), np.array([1.0, 100.0, 0.01])
    loss = bowl(middle, widths)
    assert minimise_by_newton(np.zeros(3), loss) == pytest.approx(middle)
    assert minimise_by_newton(np.ones(3), loss, [None, 0.0, 0.0]) == pytest.approx([3.0, 0.0, 0.5])
    assert minimise_by_newton(np.ones(3), loss, [4.0, -3.0, 1.0]) == pytest.approx([4.0, -2.0, 1.0])


def test_a_curvature_that_is_too_large_is_slow_and_right() -> None:
    def loss(found: Numbers) -> tuple[float, Numbers, Numbers]:
        return float(np.cosh(found - 1).sum()), np.sinh(found - 1), np.diag(3 * np.cosh(found - 1))

    assert minimise_by_newton(np.array([8.0, -8.0]), loss) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("separable", [False, True])
def test_logistic_regression_finds_what_torch_finds(separable: bool) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 3)) * [1.0, 10.0, 0.1] + [0.0, 50.0, -3.0]
    noise = 0.0 if separable else rng.normal(size=80) * 2
    right = features[:, 0] + 0.2 * (features[:, 1] - 50) + noise > 0
    offset, weights = logistic_regression(features, right)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    given, expected = (
        torch.from_numpy((features - mean) / spread),
        torch.from_numpy(right.astype(np.float64)),
    )
    found = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
        [found], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def missed() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            given @ found[1:] + found[0], expected
        )
        total = loss + 0.5 * (found**2).sum() / len(given)
        torch.autograd.backward(total)
        return float(total.detach())

    optimizer.step(missed)
    assert np.array(weights) == pytest.approx(found[1:].detach().numpy() / spread, rel=1e-4)
    assert offset == pytest.approx(
        float(found[0].detach()) - float(np.array(weights) @ mean), rel=1e-4
    )
