"""Decodes samples with a projector in torch and the vocabulary head that serves, to judge it while
it is trained. Knows samples, no files."""

from collections.abc import Sequence

import torch

from engines.alignment.text_normalisation import as_written
from engines.alignment.vocabulary_head import VocabularyHead
from engines.llm.vocabulary import Vocabulary
from engines.types import SoftTokens, Units

from ..training.samples import Sample, collate
from .cif import CifProjector
from .embedlink import first_pass_rows


@torch.no_grad()
def read_samples(
    projector: CifProjector,
    samples: Sequence[Sample],
    vocabulary: Vocabulary,
    *,
    first_passes: bool = True,
) -> list[SoftTokens]:
    """The soft tokens of each of `samples` by one projector pass, in which the projector decides on
    the number of units; `first_passes` says whether it gets the first-pass transcripts."""
    head = VocabularyHead(
        vocabulary,
        sorted(projector.known_tokens),
        projector.known_keys().numpy(),
        torch.get_num_threads(),
    )
    read = []
    for sample in samples:
        batch = collate([sample])
        batch = (
            batch if first_passes else batch.without_first_passes(torch.ones(1, dtype=torch.bool))
        )
        first_pass = (
            first_pass_rows(batch, vocabulary, projector.keys)
            if projector.config.reads_first_pass
            else None
        )
        output = projector(batch.stacked, batch.mask, first_pass)
        phonemes = projector.phoneme_log_probabilities(output.hidden)[0].numpy()
        units = Units(
            projector.scored(output.vectors[0]).numpy(), float(output.quantity[0]), phonemes
        )
        found = head.read(
            units,
            sample.first_pass.tolist()
            if first_passes and projector.config.reads_first_pass
            else (),
        )
        read.append(as_written(found, vocabulary))
    return read
