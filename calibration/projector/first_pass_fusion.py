"""Fuses a first-pass transcript into a projector, which reads it beside the frames and may copy its
tokens. Knows no audio.

The transcript is that of Whisper's decoder (`engines/whisper/first_pass.py`), as rows of the
language model's embedding table: a soft token that copies stands exactly where its token stands,
even where training never met that token. Which unit copies which token is learned from frames and
from order, with a head start: the same place counted from either end.

Shapes: B utterances, N tokens of the first-pass transcript, U units, G groups of frames, H hidden
width, E embedding width, K key width. Slot 0 of N + 1 is "none of them", and the only slot where
there is no first-pass transcript.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Block, Cross, sinusoids

_NEVER = -1e4


@dataclass(frozen=True)
class FirstPass:
    """The first-pass transcripts of a batch."""

    rows: Tensor
    """[B, N, E + K] rows of the embedding table and pronunciation keys, zero where padded; N at
    least 1."""
    mask: Tensor
    """[B, N] True where a token stands."""


@dataclass(frozen=True)
class EncodedFirstPass:
    """The first-pass transcripts of a batch, encoded beside their frames."""

    rows: Tensor
    """[B, N, E + K] rows and keys, as in FirstPass."""
    slots: Tensor
    """[B, N + 1, H] hidden states of the slots."""
    mask: Tensor
    """[B, N + 1] True where a slot counts."""


class FirstPassEncoder(nn.Module):
    """Encodes the tokens of a first-pass transcript; each attends to the frames, to find where it
    may have been said."""

    def __init__(
        self, width: int, embedding_width: int, key_width: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding_width = embedding_width
        self.row_norm = nn.LayerNorm(embedding_width)
        self.row_in = nn.Linear(embedding_width, width)
        self.key_in = nn.Linear(key_width, width, bias=False)
        self.none = nn.Parameter(torch.zeros(width))
        self.place_scale = nn.Parameter(torch.tensor(0.3))
        self.first_look = Cross(width, heads)
        self.block = Block(width, heads, dropout)
        self.second_look = Cross(width, heads)

    def forward(self, first_pass: FirstPass, groups: Tensor, mask: Tensor) -> EncodedFirstPass:
        """Encode first-pass transcripts beside hidden groups [B, G, H] with their mask [B, G]."""
        batch, length, _ = first_pass.rows.shape
        rows, keys = (
            first_pass.rows[..., : self.embedding_width],
            first_pass.rows[..., self.embedding_width :],
        )
        tokens = self.row_in(self.row_norm(rows)) + self.key_in(keys)
        tokens = tokens + self.place_scale * sinusoids(length, tokens.shape[2], tokens.device)
        slots = torch.cat([self.none.expand(batch, 1, -1), tokens], dim=1)
        slot_mask = torch.cat([torch.ones_like(first_pass.mask[:, :1]), first_pass.mask], dim=1)
        slots = self.first_look(slots, groups, mask)
        slots = self.block(slots, slot_mask)
        return EncodedFirstPass(first_pass.rows, self.second_look(slots, groups, mask), slot_mask)


class CopyHead(nn.Module):
    """Scores how much of each unit is copied from which slot of the first-pass transcript."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        nn.init.normal_(self.query.weight, std=0.02)
        self.none_bias = nn.Parameter(torch.zeros(()))
        self.slope = nn.Parameter(torch.tensor(1.0))

    def forward(self, units: Tensor, unit_count: Tensor, read: EncodedFirstPass) -> Tensor:
        """Hidden units [B, U, H] and their number [B] to scores [B, U, N + 1], for a softmax over
        the last dimension."""
        width = units.shape[2]
        scores = self.query(units) @ self.key(read.slots).transpose(1, 2) / math.sqrt(width)
        apart = displacement(
            unit_count, read.mask.sum(dim=1) - 1, units.shape[1], read.rows.shape[1]
        )
        of_tokens = scores[:, :, 1:] - F.softplus(self.slope) * apart.to(scores.dtype)
        scores = torch.cat([scores[:, :, :1] + self.none_bias, of_tokens], dim=2)
        return scores.masked_fill(~read.mask.unsqueeze(1), _NEVER)


def copied(scores: Tensor, own: Tensor, rows: Tensor) -> Tensor:
    """The mean of `own` [B, U, E + K] (slot 0) and of the first-pass transcript's `rows` [B, N, E +
    K], weighted by the softmax of `scores` [B, U, N + 1]."""
    shares = scores.softmax(dim=-1)
    return shares[:, :, :1] * own + shares[:, :, 1:] @ rows


def displacement(
    unit_count: Tensor, token_count: Tensor, max_units: int, max_tokens: int
) -> Tensor:
    """[B, max_units, max_tokens]: the number of places between unit u and token n, counted from
    whichever end gives fewer."""
    unit = torch.arange(max_units, device=unit_count.device).view(1, -1, 1)
    token = torch.arange(max_tokens, device=unit_count.device).view(1, 1, -1)
    from_start = (unit - token).abs()
    from_end = ((unit_count.view(-1, 1, 1) - unit) - (token_count.view(-1, 1, 1) - token)).abs()
    return torch.minimum(from_start, from_end)
