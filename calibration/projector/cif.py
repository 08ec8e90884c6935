"""The CIF projector: turns frames, and a first-pass transcript where there is one, into as many
soft tokens as the text has tokens.

Knows no losses and no data.

Continuous integrate-and-fire as in BLSP-KD's CFormer (arXiv 2405.19041): every frame carries a
weight, weights are summed, and each time the sum passes a whole number a unit fires. Here in the
loop-free form: with S the running sum and P the sum before the frame, W[u, t] = relu(min(S_t, u +
1) - max(P_t, u)).

A unit is identified by two things: its place in the embedding table, and its sound, as a vector in
the space of the tokens' pronunciation keys (`projector/pronunciation_keys.py`). Both form one
vector of width E + K here: an embedding row and a key side by side.

Shapes: B utterances, T frames, G = T // stack groups, U units, N tokens of the first-pass
transcript, D frame width, H hidden width, E embedding width, K key width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..training.samples import GROUPS_PER_UNIT
from .first_pass_fusion import CopyHead, EncodedFirstPass, FirstPass, FirstPassEncoder, copied
from .layers import Block, Cross, Neighbours
from .pronunciation_keys import PHONEME_SYMBOLS, PronunciationKeys

PHONEMES_PER_GROUP = 2
"""The phonemes that the auxiliary CTC may find in a group: 33 a second, quicker than anyone
speaks."""
ROW_SCALE_START, KEY_SCALE_START = 20.0, 10.0


@dataclass(frozen=True)
class CifConfig:
    """The sizes of a CIF projector."""

    frame_width: int
    embedding_width: int
    vocabulary_size: int
    key_width: int = 128
    width: int = 384
    heads: int = 6
    stack: int = 3
    """The frames joined into one group: 60 ms at 20 ms a frame."""
    layers_before: int = 2
    layers_after: int = 2
    dropout: float = 0.05
    reads_first_pass: bool = False
    """Whether it reads a first-pass transcript beside the frames, and may copy from it."""


@dataclass(frozen=True)
class Groups:
    """Groups of frames before integration."""

    hidden: Tensor
    """[B, G, H] hidden states."""
    weights: Tensor
    """[B, G], 0 to 1; zero where a group is padding."""
    first_pass: EncodedFirstPass | None
    """The encoded first-pass transcripts; None where the projector reads none."""

    @property
    def quantity(self) -> Tensor:
        """[B] the sums of the weights, which estimate how many tokens were said."""
        return self.weights.sum(dim=1)


@dataclass(frozen=True)
class UnitVectors:
    """Units, as integration makes them of groups."""

    vectors: Tensor
    """[B, U, E + K] soft tokens with their sounds."""
    mask: Tensor
    """[B, U] True where a unit fired."""
    copy_scores: Tensor | None
    """The scores of what each unit copies, as in CifOutput."""


@dataclass(frozen=True)
class CifOutput:
    """The output of a projector for a batch."""

    vectors: Tensor
    """[B, U, E + K] soft tokens with their sounds."""
    unit_mask: Tensor
    """[B, U] True where a unit fired."""
    quantity: Tensor
    """[B] the unscaled sums of the weights."""
    hidden: Tensor
    """[B, G, H] the groups before integration."""
    copy_scores: Tensor | None
    """[B, U, N + 1] how much each unit copies from none (slot 0) or from each token of the
    first-pass transcript, before softmax; None where the projector reads no first-pass
    transcripts."""


def integration_weights(weights: Tensor, units: Tensor, max_units: int) -> Tensor:
    """The share of group t in unit u, [B, max_units, G], from weights [B, G] that are scaled to sum
    to `units` [B].

    Each of the first `units` rows sums to 1. Sums run in float32 at least: half precision loses
    units.
    """
    weights = weights.float()
    total = weights.sum(dim=1).clamp(min=1e-4)
    scaled = weights * (units.to(weights.dtype) / total).unsqueeze(1)
    after = scaled.cumsum(dim=1).unsqueeze(1)
    before = after - scaled.unsqueeze(1)
    unit = torch.arange(max_units, device=weights.device, dtype=weights.dtype).view(1, -1, 1)
    return (torch.minimum(after, unit + 1) - torch.maximum(before, unit)).clamp(min=0)


class CifProjector(nn.Module):
    """Stacked frames, transformer layers, integrate-and-fire, transformer layers, and an output of
    the embedding width."""

    def __init__(self, config: CifConfig) -> None:
        super().__init__()
        self.config = config
        self.known_tokens: set[int] = set()
        """The ids of the tokens met in training, which a soft token may be decoded to."""
        width = config.width
        stacked = config.frame_width * config.stack
        self.group_norm = nn.LayerNorm(stacked)
        self.group_in = nn.Linear(stacked, width)
        self.group_neighbours = Neighbours(width, 5)
        self.before = nn.ModuleList(
            Block(width, config.heads, config.dropout) for _ in range(config.layers_before)
        )
        self.weight = nn.Linear(width, 1)
        nn.init.constant_(self.weight.bias, -2.0)
        self.unit_in = nn.Linear(width, width)
        self.unit_neighbours = Neighbours(width, 3)
        self.after = nn.ModuleList(
            Block(width, config.heads, config.dropout) for _ in range(config.layers_after)
        )
        self.out_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.embedding_width)
        with torch.no_grad():  # start at about the norm of an embedding row, not seven times it
            self.out.weight.mul_(0.2)
        self.sound_out = nn.Linear(width, config.key_width)
        self.keys = PronunciationKeys(config.vocabulary_size, config.key_width)
        self.row_log_scale = nn.Parameter(torch.tensor(ROW_SCALE_START).log())
        self.key_log_scale = nn.Parameter(torch.tensor(KEY_SCALE_START).log())
        self.phonemes_out = nn.Linear(width, PHONEMES_PER_GROUP * PHONEME_SYMBOLS)
        if config.reads_first_pass:
            # Names of stored tensors begin with these attributes' names.
            self.draft = FirstPassEncoder(
                width, config.embedding_width, config.key_width, config.heads, config.dropout
            )
            self.group_draft = Cross(width, config.heads)
            self.unit_draft = Cross(width, config.heads)
            self.copy = CopyHead(width)

    @torch.no_grad()
    def known_keys(self) -> Tensor:
        """The pronunciation keys [n, K] of the known tokens, in the order of their ids."""
        keys: Tensor = self.keys(torch.tensor(sorted(self.known_tokens), dtype=torch.int64))
        return keys

    def groups(self, stacked: Tensor, mask: Tensor, first_pass: FirstPass | None) -> Groups:
        """[B, G, stack * D] stacked frames and their mask [B, G] to groups, read beside the
        first-pass transcripts where the projector reads any."""
        x = self.group_neighbours(self.group_in(self.group_norm(stacked)), mask)
        first, *rest = self.before
        x = first(x, mask)
        read = self.draft(first_pass, x, mask) if self.config.reads_first_pass else None
        if read is not None:
            x = self.group_draft(x, read.slots, read.mask)
        for block in rest:
            x = block(x, mask)
        return Groups(x, torch.sigmoid(self.weight(x).squeeze(-1).float()) * mask, read)

    def units(self, groups: Groups, units: Tensor, max_units: int) -> UnitVectors:
        """Groups to `units` [B] int64 soft tokens for each utterance, padded to `max_units`."""
        hidden, read = groups.hidden, groups.first_pass
        shares = integration_weights(groups.weights, units, max_units)
        gathered = shares.to(hidden.dtype) @ self.unit_in(hidden)
        mask = torch.arange(max_units, device=hidden.device).unsqueeze(0) < units.unsqueeze(1)
        x = self.unit_neighbours(gathered, mask)
        *first, last = self.after
        for block in first:
            x = block(x, mask)
        if read is None:
            return UnitVectors(self._own(self.out_norm(last(x, mask))), mask, None)
        x = self.unit_draft(x, read.slots, read.mask)
        x = self.out_norm(last(x, mask))
        scores = self.copy(x, units, read)
        return UnitVectors(copied(scores, self._own(x), read.rows), mask, scores)

    def _own(self, x: Tensor) -> Tensor:
        return torch.cat([self.out(x), F.normalize(self.sound_out(x), dim=-1)], dim=-1)

    def scored(self, vectors: Tensor) -> Tensor:
        """[..., E + K] soft tokens with their sounds to as many numbers, whose product with a
        token's unit row and key is its score."""
        row, sound = (
            vectors[..., : self.config.embedding_width],
            vectors[..., self.config.embedding_width :],
        )
        of_row = self.row_log_scale.exp() * F.normalize(row, dim=-1)
        return torch.cat([of_row, self.key_log_scale.exp() * F.normalize(sound, dim=-1)], dim=-1)

    def phoneme_log_probabilities(self, hidden: Tensor) -> Tensor:
        """[B, G, H] groups to log probabilities [B, G * PHONEMES_PER_GROUP, PHONEME_SYMBOLS] for
        the auxiliary CTC, of which symbol 0 is the blank."""
        logits: Tensor = self.phonemes_out(hidden).view(hidden.shape[0], -1, PHONEME_SYMBOLS)
        return logits.log_softmax(dim=-1)

    def forward(
        self,
        stacked: Tensor,
        mask: Tensor,
        first_pass: FirstPass | None = None,
        units: Tensor | None = None,
    ) -> CifOutput:
        """[B, G, stack * D] stacked frames, their mask [B, G], and first-pass transcripts where the
        projector reads them, to soft tokens.

        `units` [B] int64 is the number of text tokens where it is known (training); without it the
        rounded sum of the weights decides.
        """
        groups = self.groups(stacked, mask, first_pass)
        quantity = groups.quantity
        if units is None:
            units = quantity.round().clamp(min=1).long()
        made = self.units(groups, units, int(units.max()))
        return CifOutput(made.vectors, made.mask, quantity, groups.hidden, made.copy_scores)


class ProjectorGraph(nn.Module):
    """One utterance in the shape that is exported: half as many rows as groups, of which the first
    `count` are soft tokens.

    That is eight tokens a second, quicker than anyone speaks. The number of units depends on the
    data; with this padding every shape in the graph is a function of the inputs', which ONNX
    Runtime plans once and TensorRT insists on.
    """

    known_keys: Tensor
    """The keys of the known tokens; not called `keys` as the output is, because all names of a
    graph differ."""
    spellings: Tensor

    def __init__(self, projector: CifProjector) -> None:
        super().__init__()
        self.projector = projector
        self.register_buffer("known_keys", projector.known_keys())
        self.register_buffer("spellings", projector.keys.phonemes.clone())

    def forward(
        self,
        stacked: Tensor,
        asked: Tensor,
        draft: Tensor | None = None,
        draft_count: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """[1, G, stack * D] and the number of units `asked` for ([1] int64; 0: as many as the
        quantity) to vectors [1, G // 2, E + K] (`CifProjector.scored`), count [1] int64, quantity
        [1] float32, log probabilities of phonemes [1, G * PHONEMES_PER_GROUP, PHONEME_SYMBOLS], and
        two constants: the keys [n, K] of the known tokens in their order, and the pronunciations
        [V, MOST_PHONEMES] uint8 of all tokens. The vocabulary head, which has the embedding table,
        makes tokens of the units.

        A projector that reads first-pass transcripts also takes the rows and keys of one, [1, N, E
        + K], and the number of them that count, [1] int64 (0: no first-pass transcript).
        """
        mask = torch.ones_like(stacked[:, :, 0], dtype=torch.bool)
        given = None
        if draft is not None and draft_count is not None:
            counted = torch.arange(draft.shape[1], device=draft.device).unsqueeze(
                0
            ) < draft_count.unsqueeze(1)
            given = FirstPass(draft, counted)
        projector = self.projector
        groups = projector.groups(stacked, mask, given)
        quantity = groups.quantity
        max_units = stacked.shape[1] // GROUPS_PER_UNIT
        count = torch.where(asked > 0, asked, quantity.round().long()).clamp(min=1, max=max_units)
        units = projector.units(groups, count, max_units)
        phonemes = projector.phoneme_log_probabilities(groups.hidden)
        return (
            projector.scored(units.vectors),
            count,
            quantity,
            phonemes,
            self.known_keys.clone(),
            self.spellings.clone(),
        )
