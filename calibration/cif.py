"""The CIF projector: frames to as many soft tokens as there are text tokens. Knows no losses and no data.

Continuous integrate-and-fire as in BLSP-KD's CFormer (arXiv 2405.19041): every frame carries a weight, weights are summed, and
each time the sum passes a whole number a unit fires. Here in the loop-free form: with S the running sum and P the sum before the
frame, W[u, t] = relu(min(S_t, u + 1) - max(P_t, u)).

Shapes: B utterances, T frames, G = T // stack groups, U units, D frame width, H hidden width, E embedding width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS_PER_UNIT = 2
"""Groups of frames that a unit takes at least when it serves."""


@dataclass(frozen=True)
class CifConfig:
    """Sizes of a CIF projector."""

    frame_width: int
    embedding_width: int
    width: int = 384
    heads: int = 6
    stack: int = 3
    """Frames joined into one group: 60 ms at 20 ms a frame."""
    layers_before: int = 2
    layers_after: int = 2
    dropout: float = 0.05


@dataclass(frozen=True)
class CifOutput:
    """What a projector makes of a batch."""

    vectors: Tensor
    """[B, U, E] soft tokens."""
    unit_mask: Tensor
    """[B, U] True where a unit fired."""
    quantity: Tensor
    """[B] unscaled sums of the weights."""
    hidden: Tensor
    """[B, G, H] groups before integration, for the auxiliary CTC."""


def integration_weights(weights: Tensor, units: Tensor, max_units: int) -> Tensor:
    """How much of group t goes into unit u: [B, max_units, G] from weights [B, G], scaled to sum to `units` [B].

    Each of the first `units` rows sums to 1. Sums run in float32 at least: half precision loses units (papers' pitfall 1).
    """
    weights = weights.float()
    total = weights.sum(dim=1).clamp(min=1e-4)
    scaled = weights * (units.to(weights.dtype) / total).unsqueeze(1)
    after = scaled.cumsum(dim=1).unsqueeze(1)
    before = after - scaled.unsqueeze(1)
    unit = torch.arange(max_units, device=weights.device, dtype=weights.dtype).view(1, -1, 1)
    return (torch.minimum(after, unit + 1) - torch.maximum(before, unit)).clamp(min=0)


class Block(nn.Module):
    """A pre-norm transformer layer. Without positions: the encoder's frames carry their own (Tiny-Align, BridgeFormer)."""

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
        projected = self.query_key_value(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        x = x + self.dropout(self.attention_out(attended.transpose(1, 2).reshape(batch, length, width)))
        fed: Tensor = self.feed_out(self.dropout(F.gelu(self.feed_in(self.feed_norm(x)))))
        output: Tensor = x + self.dropout(fed)
        return output


class Neighbours(nn.Module):
    """Adds a convolution over neighbours: local order, which attention without positions cannot see."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        visible = x * mask.unsqueeze(-1).to(x.dtype)
        return x + F.gelu(self.convolution(visible.transpose(1, 2)).transpose(1, 2))


class CifProjector(nn.Module):
    """Stacked frames, transformer, integrate-and-fire, transformer, embedding width."""

    def __init__(self, config: CifConfig) -> None:
        super().__init__()
        self.config = config
        self.heard_tokens: set[int] = set()
        """Ids of the tokens met in training: what a soft token may be read as."""
        width = config.width
        stacked = config.frame_width * config.stack
        self.group_norm = nn.LayerNorm(stacked)
        self.group_in = nn.Linear(stacked, width)
        self.group_neighbours = Neighbours(width, 5)
        self.before = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers_before))
        self.weight = nn.Linear(width, 1)
        nn.init.constant_(self.weight.bias, -2.0)
        self.unit_in = nn.Linear(width, width)
        self.unit_neighbours = Neighbours(width, 3)
        self.after = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers_after))
        self.out_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.embedding_width)
        with torch.no_grad():  # start at about the norm of an embedding row, not seven times it
            self.out.weight.mul_(0.2)

    def groups(self, stacked: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden groups [B, G, H] and their weights [B, G] in (0, 1), zero where `mask` [B, G] is False."""
        x = self.group_neighbours(self.group_in(self.group_norm(stacked)), mask)
        for block in self.before:
            x = block(x, mask)
        return x, torch.sigmoid(self.weight(x).squeeze(-1).float()) * mask

    def units(self, hidden: Tensor, weights: Tensor, units: Tensor, max_units: int) -> tuple[Tensor, Tensor]:
        """Soft tokens [B, max_units, E] and their mask [B, max_units]."""
        gathered = integration_weights(weights, units, max_units).to(hidden.dtype) @ self.unit_in(hidden)
        mask = torch.arange(max_units, device=hidden.device).unsqueeze(0) < units.unsqueeze(1)
        x = self.unit_neighbours(gathered, mask)
        for block in self.after:
            x = block(x, mask)
        return self.out(self.out_norm(x)), mask

    def forward(self, stacked: Tensor, mask: Tensor, units: Tensor | None = None) -> CifOutput:
        """[B, G, stack * D] stacked frames and their mask [B, G] to soft tokens.

        `units` [B] int64 is the number of text tokens when it is known (training); without it the rounded sum decides.
        """
        hidden, weights = self.groups(stacked, mask)
        quantity = weights.sum(dim=1)
        if units is None:
            units = quantity.round().clamp(min=1).long()
        vectors, unit_mask = self.units(hidden, weights, units, int(units.max()))
        return CifOutput(vectors, unit_mask, quantity, hidden)


class ProjectorGraph(nn.Module):
    """One utterance in the shape that is exported: half as many rows as groups, of which the first `count` are soft tokens.

    That is eight tokens a second, quicker than anyone speaks. The number of units depends on the data; padding it so keeps every
    shape in the graph a function of the input's, which ONNX Runtime plans once and TensorRT insists on.
    """

    def __init__(self, projector: CifProjector) -> None:
        super().__init__()
        self.projector = projector

    def forward(self, stacked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[1, G, stack * D] to vectors [1, G // 2, E], count [1] int64, quantity [1] float32."""
        mask = torch.ones_like(stacked[:, :, 0], dtype=torch.bool)
        hidden, weights = self.projector.groups(stacked, mask)
        quantity = weights.sum(dim=1)
        max_units = stacked.shape[1] // GROUPS_PER_UNIT
        count = quantity.round().clamp(min=1, max=max_units).long()
        vectors, _ = self.projector.units(hidden, weights, count, max_units)
        return vectors, count, quantity
