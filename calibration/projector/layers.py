"""The layers that projectors share. Know shapes, no purpose.

Shapes: B utterances, N positions, M others, H width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """A pre-norm transformer layer. It adds no positions: the encoder's frames carry their own
    (Tiny-Align, BridgeFormer)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, 4 * width)
        self.feed_out = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, N, H] and the mask [B, N] of what may be attended to, to [B, N, H]."""
        batch, length, width = x.shape
        projected = self.query_key_value(self.attention_norm(x)).view(
            batch, length, 3, self.heads, width // self.heads
        )
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None, :]
        )
        x = x + self.dropout(
            self.attention_out(attended.transpose(1, 2).reshape(batch, length, width))
        )
        fed: Tensor = self.feed_out(self.dropout(F.gelu(self.feed_in(self.feed_norm(x)))))
        output: Tensor = x + self.dropout(fed)
        return output


class Neighbours(nn.Module):
    """Adds a convolution over neighbours, for local order, which attention without positions cannot
    see."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        visible = x * mask.unsqueeze(-1).to(x.dtype)
        return x + F.gelu(self.convolution(visible.transpose(1, 2)).transpose(1, 2))


class Cross(nn.Module):
    """Adds cross-attention to other positions. Its output starts at zero, so it changes nothing at
    first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(width)
        self.others_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """[B, N, H], [B, M, H] and the mask [B, M] of what may be attended to, at least one of each
        M, to [B, N, H]."""
        batch, length, width = x.shape
        query = (
            self.query(self.query_norm(x))
            .view(batch, length, self.heads, width // self.heads)
            .transpose(1, 2)
        )
        projected = self.key_value(self.others_norm(others)).view(
            batch, -1, 2, self.heads, width // self.heads
        )
        key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None, :]
        )
        output: Tensor = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return output


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """[length, width] positions as sines and cosines of falling frequency (Vaswani et al. 2017,
    section 3.5)."""
    frequency = torch.exp(
        torch.arange(0, width, 2, device=device).float()
        * (-torch.log(torch.tensor(10_000.0)) / width)
    )
    angle = torch.arange(length, device=device).float().unsqueeze(1) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)
