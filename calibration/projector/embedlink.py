"""EmbedLink (Tiny-Align, arXiv 2411.13766): trains a projector against the embedding table, without
ever running the language model.

Knows batches and losses. The training loop is `training/loop.py`, the data `training/samples.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.llm.vocabulary import Vocabulary

from ..training.learner import ProjectorLearner
from ..training.samples import Batch
from .cif import PHONEMES_PER_GROUP, CifOutput, CifProjector
from .first_pass_fusion import FirstPass
from .pronunciation_keys import PronunciationKeys

CONTRAST_NEGATIVES = 3000
"""The known tokens that each step contrasts against, drawn anew; this halves the time of a step
against all of them."""

FIRST_PASS_DROPOUT = 0.25
"""The share of the first-pass transcripts that a step hides: a projector serves without one where
its own reading is sure."""

_SHORTEST = 1e-12
"""The least length that rows are divided by, so that a row of zeros stays one."""


@dataclass(frozen=True)
class Candidates:
    """The tokens that a unit may mean."""

    table: Tensor
    """[n, E + K] unit rows and keys: a unit's score for each is its product with what
    `CifProjector.scored` makes of the unit."""
    lengths: Tensor
    """[n, 1] the lengths of the embedding rows, which are not kept a second time."""
    width: int
    """The embedding width E."""

    def rows(self, places: Tensor) -> Tensor:
        """The embedding rows [m, E] at `places`."""
        return self.table[places, : self.width] * self.lengths[places]

    def expected_embeddings(self, shares: Tensor) -> Tensor:
        """[..., n] shares of the tokens to [..., E] expected embeddings: the sums of their rows by
        these shares."""
        return (shares * self.lengths.squeeze(1)) @ self.table[:, : self.width]


def first_pass_rows(batch: Batch, vocabulary: Vocabulary, keys: PronunciationKeys) -> FirstPass:
    """The first-pass transcripts of a batch as the projector reads them."""
    mask = batch.first_pass >= 0
    tokens = batch.first_pass[mask]
    found = torch.cat([_rows(vocabulary, tokens), keys(tokens)], dim=1)
    return FirstPass(
        torch.zeros(*mask.shape, found.shape[1], device=mask.device).masked_scatter(
            mask.unsqueeze(2), found
        ),
        mask,
    )


def _rows(vocabulary: Vocabulary, tokens: Tensor) -> Tensor:
    return torch.from_numpy(vocabulary.rows(tokens.cpu().numpy())).to(tokens.device)


def copied_slots(tokens: Sequence[int], first_pass: Sequence[int]) -> list[int]:
    """For each token of the label the slot, from 1, of the first-pass transcript that holds it, in
    the longest matching order; 0 for none."""
    slots = [0] * len(tokens)
    for block in SequenceMatcher(None, tokens, first_pass, autojunk=False).get_matching_blocks():
        slots[block.a : block.a + block.size] = range(block.b + 1, block.b + block.size + 1)
    return slots


class EmbedLink(ProjectorLearner):
    """A CIF projector with its losses."""

    known: Tensor
    """[K] int64 ids of the known tokens, in ascending order."""
    loss_weights: ClassVar = {
        "contrast": 1.0,
        "sound": 0.5,
        "mse": 0.3,
        "cosine": 0.3,
        "ctc": 0.3,
        "quantity": 1.0,
        "copy": 0.5,
    }

    def __init__(
        self, projector: CifProjector, vocabulary: Vocabulary, learnt_tokens: Iterable[int]
    ) -> None:
        """Train `projector` on labels that consist of `learnt_tokens`, which are added to its known
        tokens: the contrast is against all of them."""
        super().__init__()
        projector.known_tokens.update(learnt_tokens)
        self.projector: CifProjector = projector
        self.vocabulary = vocabulary
        self.register_buffer(
            "known", torch.tensor(sorted(projector.known_tokens)), persistent=False
        )

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Run the projector on a batch of which FIRST_PASS_DROPOUT lose their first-pass
        transcripts, and compute its `losses`."""
        hidden = (
            torch.rand(len(batch.units), generator=generator).to(batch.units.device)
            < FIRST_PASS_DROPOUT
        )
        batch = batch.without_first_passes(hidden)
        return self.losses(self.project(batch), batch, self.candidates(batch, generator))

    def project(self, batch: Batch) -> CifOutput:
        """The output of the projector for a batch, with its first-pass transcripts where it reads
        any."""
        first_pass = (
            first_pass_rows(batch, self.vocabulary, self.projector.keys)
            if self.projector.config.reads_first_pass
            else None
        )
        output: CifOutput = self.projector(batch.stacked, batch.mask, first_pass, batch.units)
        return output

    def losses(self, output: CifOutput, batch: Batch, candidates: Candidates) -> dict[str, Tensor]:
        """The losses of a projector's output.

        contrast: softmax over the scores, by row and by sound, of the batch's own tokens and of
        random known ones. sound: the same by sound alone. mse, cosine: Tiny-Align's pair, against
        each unit's own token. ctc: connectionist temporal classification of the groups as the
        label's phonemes. quantity: |sum / U - 1| (BLSP-KD). copy: softmax over the slots of the
        first-pass transcript. A projector without pronunciations or first-pass transcripts lacks
        the losses that need them.
        """
        projector, width = self.projector, self.vocabulary.width
        real = batch.tokens >= 0
        target = torch.unique(batch.tokens[real], return_inverse=True)[1]
        vectors = output.vectors[:, : real.shape[1]][real]
        scored = projector.scored(vectors)
        by_sound = scored[:, width:] @ candidates.table[:, width:].T
        own, own_rows = vectors[:, :width], candidates.rows(target)
        losses = {
            "contrast": F.cross_entropy(scored @ candidates.table.T, target),
            "mse": F.mse_loss(own, own_rows) * width,
            "cosine": 1 - F.cosine_similarity(own, own_rows, dim=-1).mean(),
            "quantity": (output.quantity / batch.units - 1).abs().mean(),
        }
        if projector.keys.phonemes.any():
            losses |= {
                "sound": F.cross_entropy(by_sound, target),
                "ctc": self._ctc(output.hidden, batch, real),
            }
        return (
            losses | {"copy": self._copy(output.copy_scores, batch)}
            if output.copy_scores is not None
            else losses
        )

    def candidates(self, batch: Batch, generator: torch.Generator) -> Candidates:
        """The tokens of a batch, in ascending order, followed by random known ones."""
        present = torch.unique(batch.tokens[batch.tokens >= 0])
        drawn = torch.randint(len(self.known), (CONTRAST_NEGATIVES,), generator=generator).to(
            present.device
        )
        others = torch.unique(self.known[drawn])
        tokens = torch.cat([present, others[~torch.isin(others, present)]])
        rows, keys = _rows(self.vocabulary, tokens), self.projector.keys(tokens)
        lengths = rows.norm(dim=1, keepdim=True).clamp(min=_SHORTEST)
        return Candidates(
            torch.cat([rows.div_(lengths), keys], dim=1), lengths, self.vocabulary.width
        )

    def _copy(self, scores: Tensor, batch: Batch) -> Tensor:
        real, given = batch.tokens >= 0, batch.first_pass >= 0
        slots = [
            torch.tensor(copied_slots(tokens[some].tolist(), first_pass[few].tolist()))
            for tokens, some, first_pass, few in zip(
                batch.tokens, real, batch.first_pass, given, strict=True
            )
        ]
        return F.cross_entropy(scores[:, : real.shape[1]][real], torch.cat(slots).to(scores.device))

    def _ctc(self, hidden: Tensor, batch: Batch, real: Tensor) -> Tensor:
        said = [
            self.projector.keys.spoken(tokens[some])
            for tokens, some in zip(batch.tokens, real, strict=True)
        ]
        log_probabilities = self.projector.phoneme_log_probabilities(hidden).transpose(0, 1)
        lengths = PHONEMES_PER_GROUP * batch.mask.sum(dim=1)
        said_lengths = torch.tensor([len(some) for some in said], device=hidden.device)
        return F.ctc_loss(
            log_probabilities, torch.cat(said), lengths, said_lengths, zero_infinity=True
        )
