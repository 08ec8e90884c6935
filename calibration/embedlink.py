"""EmbedLink (Tiny-Align, arXiv 2411.13766): train a projector against the embedding table, never running the language model.

Knows batches and losses. The training loop is `training.py`, the data `dataset.py`.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.vocabulary import Vocabulary

from .cif import CifOutput, CifProjector
from .draft_fusion import Draft
from .samples import Batch
from .training import Learner

CONTRAST_NEGATIVES = 3000
"""Rows of the table that each step contrasts against, drawn anew: halves a step against all 49,152 rows."""
CTC_NEGATIVES = 500
CONTRAST_SCALE_START = 20.0
CTC_SCALE = 1 / 3

DRAFT_DROPOUT = 0.25
"""How many of the drafts a step hides: a projector serves without one where its own reading is sure."""


def draft_rows(batch: Batch, vocabulary: Vocabulary) -> Draft:
    """The drafts of a batch as the projector reads them."""
    mask = batch.draft >= 0
    rows = torch.zeros(*batch.draft.shape, vocabulary.width, device=mask.device)
    rows[mask] = torch.from_numpy(vocabulary.rows(batch.draft[mask].cpu().numpy())).to(mask.device)
    return Draft(rows, mask)


def copied_slots(tokens: Sequence[int], draft: Sequence[int]) -> list[int]:
    """For each token of the label the slot of the draft that holds it, from 1, in the longest matching order; 0 for none."""
    slots = [0] * len(tokens)
    for block in SequenceMatcher(None, tokens, draft, autojunk=False).get_matching_blocks():
        slots[block.a : block.a + block.size] = range(block.b + 1, block.b + block.size + 1)
    return slots


class EmbedLink(Learner):
    """A CIF projector and its losses, with the little that these learn themselves (the contrast's scale, the CTC head)."""

    loss_weights: ClassVar = {"contrast": 1.0, "mse": 0.3, "cosine": 0.3, "ctc": 0.3, "quantity": 1.0, "copy": 0.5}

    def __init__(self, projector: CifProjector, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.projector: CifProjector = projector
        self.vocabulary = vocabulary
        self.contrast_log_scale = nn.Parameter(torch.tensor(CONTRAST_SCALE_START).log())
        self.ctc_out = nn.Linear(projector.config.width, vocabulary.width)
        self.ctc_blank = nn.Parameter(torch.randn(vocabulary.width) * 0.1)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Run the projector on a batch of which DRAFT_DROPOUT lose their drafts, and `losses`."""
        hidden = torch.rand(len(batch.units), generator=generator).to(batch.units.device) < DRAFT_DROPOUT
        batch = batch.without_drafts(hidden)
        draft = draft_rows(batch, self.vocabulary) if self.projector.config.reads_draft else None
        return self.losses(self.projector(batch.stacked, batch.mask, draft, batch.units), batch, generator)

    def losses(self, output: CifOutput, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses of a projector's output.

        contrast: softmax over cosines with the batch's own rows and random others. mse, cosine: Tiny-Align's pair, against
        each unit's own token. ctc: connectionist temporal classification of the groups. quantity: |sum / U - 1| (BLSP-KD).
        copy: softmax over the slots of the draft (nothing for a projector that reads none).
        """
        real = batch.tokens >= 0
        present, target = torch.unique(batch.tokens[real], return_inverse=True)
        negatives = torch.randint(self.vocabulary.size, (CONTRAST_NEGATIVES,), generator=generator).to(present.device)
        rows = torch.from_numpy(self.vocabulary.rows(torch.cat([present, negatives]).cpu().numpy())).to(present.device)
        vectors = output.vectors[:, : real.shape[1]][real]
        cosines = F.normalize(vectors, dim=-1) @ F.normalize(rows, dim=-1).T
        # A negative that happens to be a token of the batch is masked: it would contradict its own target.
        clash = torch.isin(negatives, present)
        cosines = torch.cat([cosines[:, : len(present)], cosines[:, len(present) :].masked_fill(clash, -1.0)], dim=1)
        own_rows = rows[target]
        losses = {
            "contrast": F.cross_entropy(self.contrast_log_scale.exp() * cosines, target),
            "mse": F.mse_loss(vectors, own_rows) * self.vocabulary.width,
            "cosine": 1 - F.cosine_similarity(vectors, own_rows, dim=-1).mean(),
            "ctc": self._ctc(output.hidden, batch, rows[: len(present) + CTC_NEGATIVES], target),
            "quantity": (output.quantity / batch.units - 1).abs().mean(),
        }
        return losses | {"copy": self._copy(output.copy_scores, batch)} if output.copy_scores is not None else losses

    def _copy(self, scores: Tensor, batch: Batch) -> Tensor:
        real, given = batch.tokens >= 0, batch.draft >= 0
        slots = [
            torch.tensor(copied_slots(tokens[some].tolist(), draft[few].tolist()))
            for tokens, some, draft, few in zip(batch.tokens, real, batch.draft, given, strict=True)
        ]
        return F.cross_entropy(scores[:, : real.shape[1]][real], torch.cat(slots).to(scores.device))

    def _ctc(self, hidden: Tensor, batch: Batch, rows: Tensor, target: Tensor) -> Tensor:
        symbols = torch.cat([self.ctc_blank.unsqueeze(0), rows])
        log_probabilities = (CTC_SCALE * self.ctc_out(hidden) @ symbols.T).log_softmax(dim=-1).transpose(0, 1)
        lengths = batch.mask.sum(dim=1)
        return F.ctc_loss(log_probabilities, target + 1, lengths, batch.units, zero_infinity=True)
