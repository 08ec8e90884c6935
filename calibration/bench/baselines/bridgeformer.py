"""BridgeFormer and its EmbedLink as Tiny-Align (arXiv 2411.13766) describes them: a baseline for
the default design.

Input layer, transformer layers without positions, adaptive pooling to a fixed number of vectors
("casted token size"), output layer; trained by mean squared error and cosine against the embeddings
of the text, padded to that number. The paper gives neither the number, nor the weights of the two
losses, nor how a text is padded; here a text ends in the end-of-turn token, repeated, and both
losses weigh the same.

Shapes: B utterances, G groups of stacked frames, T vectors, H hidden width, E embedding width.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.llm.vocabulary import Vocabulary

from ...projector.layers import Block
from ...training.learner import ProjectorLearner
from ...training.samples import Batch


@dataclass(frozen=True)
class BridgeFormerConfig:
    """The sizes of a BridgeFormer."""

    frame_width: int
    embedding_width: int
    width: int = 384
    heads: int = 6
    stack: int = 3
    layers: int = 4
    vectors: int = 24
    """The casted token size: more than the longest request has tokens."""
    dropout: float = 0.05


class BridgeFormer(nn.Module):
    """Turns stacked frames into a fixed number of vectors."""

    def __init__(self, config: BridgeFormerConfig) -> None:
        super().__init__()
        self.config = config
        stacked = config.frame_width * config.stack
        self.frames_in = nn.Sequential(
            nn.LayerNorm(stacked), nn.Linear(stacked, config.width), nn.GELU()
        )
        self.layers = nn.ModuleList(
            Block(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.out_norm = nn.LayerNorm(config.width)
        self.out = nn.Sequential(
            nn.Linear(config.width, 2 * config.width),
            nn.GELU(),
            nn.Linear(2 * config.width, config.embedding_width),
        )

    def forward(self, stacked: Tensor, mask: Tensor) -> Tensor:
        """[B, G, stack * D] and the mask [B, G] to [B, T, E]."""
        x = self.frames_in(stacked)
        for block in self.layers:
            x = block(x, mask)
        pooled = pooling_weights(mask.sum(dim=1), self.config.vectors, mask.shape[1]) @ x
        vectors: Tensor = self.out(self.out_norm(pooled))
        return vectors


def pooling_weights(lengths: Tensor, vectors: int, max_length: int) -> Tensor:
    """The weights [B, vectors, max_length] of adaptive average pooling over the first `lengths` [B]
    positions, as torch pools one utterance.

    Vector i takes positions floor(i * length / vectors) up to ceil((i + 1) * length / vectors),
    each of the same weight.
    """
    index = torch.arange(vectors, device=lengths.device).unsqueeze(0)
    start = (index * lengths.unsqueeze(1)).div(vectors, rounding_mode="floor").unsqueeze(2)
    end = -((-(index + 1) * lengths.unsqueeze(1)).div(vectors, rounding_mode="floor")).unsqueeze(2)
    position = torch.arange(max_length, device=lengths.device).view(1, 1, -1)
    inside = ((position >= start) & (position < end)).float()
    return inside / inside.sum(dim=2, keepdim=True).clamp(min=1)


class BridgeFormerLink(ProjectorLearner):
    """BridgeFormer with the losses of Tiny-Align's EmbedLink."""

    loss_weights: ClassVar = {"mse": 1.0, "cosine": 1.0}

    def __init__(self, projector: BridgeFormer, vocabulary: Vocabulary, end: int) -> None:
        """`end` is the token that pads a text."""
        super().__init__()
        self.projector: BridgeFormer = projector
        self.vocabulary = vocabulary
        self.end = end

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The mean squared error (summed over the width) and the cosine distance to the embeddings
        of the padded text."""
        target = self._target(batch).to(batch.stacked.device)
        vectors = self.projector(batch.stacked, batch.mask)
        return {
            "mse": F.mse_loss(vectors, target) * self.vocabulary.width,
            "cosine": 1 - F.cosine_similarity(vectors, target, dim=-1).mean(),
        }

    def nearest_tokens(self, vectors: Tensor) -> list[list[int]]:
        """The nearest tokens of [B, T, E] vectors; those of each utterance end before the first
        that ends the text."""
        tokens = np.array(self.vocabulary.nearest(vectors.flatten(0, 1).numpy())[0]).reshape(
            vectors.shape[:2]
        )
        return [[*takewhile(lambda token: token != self.end, row)] for row in tokens.tolist()]

    def _target(self, batch: Batch) -> Tensor:
        room = self.projector.config.vectors
        padded = F.pad(batch.tokens, (0, max(0, room - batch.tokens.shape[1])), value=-1)[:, :room]
        padded = torch.where(padded >= 0, padded, self.end)
        return torch.from_numpy(self.vocabulary.rows(padded.flatten().cpu().numpy())).view(
            *padded.shape, -1
        )
