"""Utterances as tensors, alone and in batches. Knows no projector and no losses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from engines.alignment.text_normalisation import spoken_tokens
from engines.llm.vocabulary import Vocabulary
from engines.types import Float16, Float32

GROUPS_PER_UNIT = 2
"""The fewest groups of frames that a unit takes when it serves."""


@dataclass(frozen=True)
class Sample:
    """One utterance, ready to train on."""

    stacked: Tensor
    """[G, stack * D] float16 stacked frames."""
    tokens: Tensor
    """[U] int64 token ids of the label, U at most G."""
    first_pass: Tensor
    """[N] int64 token ids of the first-pass transcript; N may be 0."""
    weight: float = field(default=1.0, kw_only=True)
    """The probability with which a step that draws it keeps it."""

    def __len__(self) -> int:
        return len(self.stacked)


def make_sample(
    frames: Float16 | Float32,
    text: str,
    first_pass: str,
    vocabulary: Vocabulary,
    stack: int,
    weight: float = 1.0,
) -> Sample | None:
    """A training sample; None where the text has more tokens than its audio can make units, which
    means a wrong label."""
    tokens = spoken_tokens(text, vocabulary)
    groups = len(frames) // stack
    if not tokens or groups < GROUPS_PER_UNIT * len(tokens):
        return None
    halves = np.ascontiguousarray(frames[: groups * stack], np.float16)
    stacked = torch.from_numpy(halves).view(groups, stack * frames.shape[1])
    return Sample(
        stacked,
        torch.tensor(tokens),
        torch.tensor(spoken_tokens(first_pass, vocabulary), dtype=torch.int64),
        weight=weight,
    )


@dataclass(frozen=True)
class Batch:
    """Samples padded to the longest."""

    stacked: Tensor
    """[B, G, stack * D] float32."""
    mask: Tensor
    """[B, G] True where a group is no padding."""
    tokens: Tensor
    """[B, U] int64, -1 where padded."""
    units: Tensor
    """[B] int64 numbers of tokens."""
    first_pass: Tensor
    """[B, N] int64, -1 where padded; N at least 1."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def without_first_passes(self, hidden: Tensor) -> "Batch":
        """The batch without the first-pass transcripts of the utterances where `hidden` [B] is
        True."""
        return replace(self, first_pass=self.first_pass.masked_fill(hidden.unsqueeze(1), -1))


def tokens_of(samples: Iterable[Sample]) -> set[int]:
    """The ids of all tokens in the labels of `samples`."""
    return {token for sample in samples for token in sample.tokens.tolist()}


def collate(samples: Sequence[Sample]) -> Batch:
    """Pad `samples` into one batch."""
    stacked = nn.utils.rnn.pad_sequence(
        [sample.stacked.float() for sample in samples], batch_first=True
    )
    lengths = torch.tensor([len(sample.stacked) for sample in samples])
    tokens = nn.utils.rnn.pad_sequence(
        [sample.tokens for sample in samples], batch_first=True, padding_value=-1
    )
    units = torch.tensor([len(sample.tokens) for sample in samples])
    mask = torch.arange(stacked.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)
    first_pass = nn.utils.rnn.pad_sequence(
        [*(sample.first_pass for sample in samples), torch.tensor([0])], True, -1
    )[:-1]
    return Batch(stacked, mask, tokens, units, first_pass)
