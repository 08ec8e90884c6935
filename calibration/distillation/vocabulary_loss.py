"""Losses over a whole vocabulary of which only a few rows are in memory at a time: the full logits
never exist.

They are the cross-entropy against tokens, and the divergence from a teacher of whom only the most
probable tokens are known, and the rest as one mass. Knows hidden states and an output layer in
blocks, no model and no words.

Shapes: N positions, H hidden width, V vocabulary, K tokens that the teacher found most probable.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dequantize import dequantize
from .quantized_layers import QuantizedLinear, multiply, row_slices

_LEAST_MASS = 1e-6
"""The least probability of all but the most probable tokens; less is float32's rounding."""
_POSITIONS_AT_ONCE = 16


@dataclass(frozen=True)
class TeacherTargets:
    """The next tokens that a teacher expects after each of N positions."""

    tokens: Tensor
    """[N, K] int64, the most probable first."""
    log_probabilities: Tensor
    """[N, K] float32 natural log probabilities, at the temperature that was asked for."""

    @property
    def log_tail(self) -> Tensor:
        """[N] the logarithm of the probability of all other tokens."""
        return _log_rest(self.log_probabilities)


@torch.no_grad()
def teacher_targets(
    hidden: Tensor, output: QuantizedLinear, most: int, temperature: float
) -> TeacherTargets:
    """The `most` most probable tokens after each of the [N, H] hidden states, computed a few
    positions at a time."""
    parts = []
    for start in range(0, len(hidden), _POSITIONS_AT_ONCE):
        few = hidden[start : start + _POSITIONS_AT_ONCE]
        logits = multiply(few, output.qweight, output.kind).float() / temperature
        highest, tokens = logits.topk(most, dim=-1)
        parts.append((tokens, highest - logits.logsumexp(dim=-1, keepdim=True)))
    return TeacherTargets(*(torch.cat(some) for some in zip(*parts, strict=True)))


def divergence(
    hidden: Tensor, output: QuantizedLinear, teacher: TeacherTargets, temperature: float
) -> Tensor:
    """[N] Kullback-Leibler divergences from the teacher's next-token distribution to the student's
    after [N, H] hidden states.

    Both are at `temperature`, without a factor for it, as in BLSP-KD's family; all tokens that the
    teacher did not name count as one.
    """
    total, picked = vocabulary_scores(hidden, output, teacher.tokens, temperature)
    student = picked - total.unsqueeze(1)
    named = (teacher.log_probabilities.exp() * (teacher.log_probabilities - student)).sum(dim=1)
    tail = teacher.log_tail
    return named + tail.exp() * (tail - _log_rest(student))


def cross_entropy(hidden: Tensor, output: QuantizedLinear, tokens: Tensor) -> Tensor:
    """[N] natural cross-entropies of `tokens` [N] as the next tokens after [N, H] hidden states."""
    total, picked = vocabulary_scores(hidden, output, tokens.unsqueeze(1), 1.0)
    return total - picked.squeeze(1)


def vocabulary_scores(
    hidden: Tensor, output: QuantizedLinear, tokens: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The logarithm of the summed exponentials of all logits divided by `temperature`, [N], and
    those logits of `tokens`, [N, K]."""
    total, picked = _Scores.apply(hidden / temperature, output, tokens)  # type: ignore[no-untyped-call]
    return total, picked


def _log_rest(log_probabilities: Tensor) -> Tensor:
    return (1 - log_probabilities.exp().sum(dim=1)).clamp(min=_LEAST_MASS).log()


class _Scores(torch.autograd.Function):
    """`vocabulary_scores`, in which both passes go through the rows of the output layer a few at a
    time."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, output: QuantizedLinear, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        total = hidden.new_full((len(hidden),), -torch.inf)
        picked = hidden.new_zeros(tokens.shape)
        for rows in row_slices(output.qweight, output.kind):
            logits = hidden @ dequantize(output.qweight[rows], output.kind).T
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
            inside, places = _inside(tokens, rows)
            picked = torch.where(inside, logits.gather(1, places), picked)
        ctx.output = output
        ctx.save_for_backward(hidden, tokens, total)
        return total, picked

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, of_picked: Tensor) -> tuple[Tensor, None, None]:
        hidden, tokens, total = ctx.saved_tensors
        found = torch.zeros_like(hidden)
        for rows in row_slices(ctx.output.qweight, ctx.output.kind):
            weights = dequantize(ctx.output.qweight[rows], ctx.output.kind)
            of_logits = (hidden @ weights.T - total.unsqueeze(1)).exp() * of_total.unsqueeze(1)
            inside, places = _inside(tokens, rows)
            of_logits.scatter_add_(1, places, of_picked * inside)
            found += of_logits @ weights
        return found, None, None


def _inside(tokens: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Whether each of `tokens` is among `rows`, and its place there (0 for the others)."""
    inside = (tokens >= rows.start) & (tokens < rows.stop)
    return inside, torch.where(inside, tokens - rows.start, 0)
