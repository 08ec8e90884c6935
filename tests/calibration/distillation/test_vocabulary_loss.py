"""Losses over the vocabulary, a few rows at a time: as if the logits had been there."""

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from torch.nn import functional as F

import calibration.distillation.quantized_layers
from calibration.bench.random_model import random_blocks
from calibration.distillation.dequantize import dequantize
from calibration.distillation.quantized_layers import QuantizedLinear
from calibration.distillation.vocabulary_loss import (
    TeacherTargets,
    cross_entropy,
    divergence,
    teacher_targets,
)

VOCABULARY, WIDTH = 1000, 64


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> QuantizedLinear:
    # So that many slices are needed.
    monkeypatch.setattr(calibration.distillation.quantized_layers, "_AT_ONCE", 7 * WIDTH)
    blocks = random_blocks(np.random.default_rng(0), VOCABULARY, WIDTH, Kind.Q8_0, 0.3)
    return QuantizedLinear(torch.from_numpy(blocks), Kind.Q8_0)


def states(seed: int) -> torch.Tensor:
    return torch.randn(
        40, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float32
    ).requires_grad_()


def test_cross_entropy_is_torchs_own(output: QuantizedLinear) -> None:
    tokens = torch.randint(0, VOCABULARY, (40,), generator=torch.Generator().manual_seed(1))
    hidden, same = states(0), states(0)
    ours = cross_entropy(hidden, output, tokens)
    theirs = F.cross_entropy(
        same @ dequantize(output.qweight, output.kind).T, tokens, reduction="none"
    )
    torch.testing.assert_close(ours, theirs)
    torch.autograd.backward(ours.mean())
    torch.autograd.backward(theirs.mean())
    torch.testing.assert_close(hidden.grad, same.grad)


@pytest.mark.parametrize("most", [1, 20, VOCABULARY])
def test_divergence_is_torchs_own_where_the_tail_is_one_token(
    output: QuantizedLinear, most: int
) -> None:
    weights = dequantize(output.qweight, output.kind)
    teacher = teacher_targets(states(7).detach(), output, most, 2.0)
    assert teacher.tokens.shape == (40, most)
    hidden, same = states(0), states(0)
    ours = divergence(hidden, output, teacher, 2.0)
    expected = (states(7).detach() @ weights.T / 2).softmax(-1)
    found = (same @ weights.T / 2).softmax(-1)

    def with_tail(probabilities: torch.Tensor) -> torch.Tensor:
        named = probabilities.gather(1, teacher.tokens)
        return torch.cat([named, (1 - named.sum(1, keepdim=True)).clamp(min=1e-6)], dim=1)

    theirs = (with_tail(expected) * (with_tail(expected).log() - with_tail(found).log())).sum(1)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    torch.autograd.backward(ours.sum())
    torch.autograd.backward(theirs.sum())
    torch.testing.assert_close(hidden.grad, same.grad, rtol=1e-3, atol=1e-5)
    assert float(ours.detach().min()) >= -1e-5


def test_a_student_like_the_teacher_has_nothing_to_learn(output: QuantizedLinear) -> None:
    hidden = states(3)
    teacher = teacher_targets(hidden.detach(), output, 50, 2.0)
    found = divergence(hidden, output, teacher, 2.0)
    torch.testing.assert_close(found, torch.zeros(40), rtol=0, atol=1e-5)
    torch.autograd.backward(found.sum())
    assert hidden.grad is not None
    assert float(hidden.grad.abs().max()) < 1e-4


def test_the_tail_keeps_its_mass(output: QuantizedLinear) -> None:
    """A student that puts what the teacher never named on one token is as far away as one that
    spreads it: only masses count."""
    hidden = states(3)
    teacher = teacher_targets(hidden.detach(), output, 5, 1.0)
    assert float(teacher.log_tail.exp().mean()) > 0.1
    sure = TeacherTargets(
        teacher.tokens,
        teacher.log_probabilities - teacher.log_probabilities.exp().sum(1, keepdim=True).log(),
    )
    assert (
        float(divergence(hidden, output, sure, 1.0).mean().detach())
        > float(divergence(hidden, output, teacher, 1.0).mean().detach()) + 0.05
    )
