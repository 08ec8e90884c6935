"""What a projector in torch reads, by the head that serves: for judging while it is trained. Knows
samples, no files."""

from collections.abc import Sequence

import torch

from engines.alignment.text_normalisation import as_written
from engines.alignment.vocabulary_head import VocabularyHead
from engines.llm.vocabulary import Vocabulary
from engines.types import SoftTokens, Units

from ..training.samples import Sample, collate
from .cif import CifProjector
from .embedlink import draft_rows


@torch.no_grad()
def read_samples(
    projector: CifProjector, samples: Sequence[Sample], vocabulary: Vocabulary, drafts: bool = True
) -> list[SoftTokens]:
    """One pass over each of `samples`, the number of units decided by the projector; without their
    drafts if so asked."""
    head = VocabularyHead(
        vocabulary,
        sorted(projector.heard_tokens),
        projector.heard_keys().numpy(),
        torch.get_num_threads(),
    )
    read = []
    for sample in samples:
        batch = collate([sample])
        batch = batch if drafts else batch.without_drafts(torch.ones(1, dtype=torch.bool))
        draft = (
            draft_rows(batch, vocabulary, projector.keys) if projector.config.reads_draft else None
        )
        output = projector(batch.stacked, batch.mask, draft)
        phonemes = projector.phoneme_log_probabilities(output.hidden)[0].numpy()
        units = Units(
            projector.scored(output.vectors[0]).numpy(), float(output.quantity[0]), phonemes
        )
        found = head.read(
            units, sample.draft.tolist() if drafts and projector.config.reads_draft else ()
        )
        read.append(as_written(found, vocabulary))
    return read
