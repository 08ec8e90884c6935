"""The designs that are compared, behind one small interface: what is trained, how it is decoded,
and what it gives the language model.

They are as the papers write them, from random weights, each with the settings of its own module;
only `cif` has pronunciation keys in addition. `attune` is the design in use, from the shipped base.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from engines.alignment.text_normalisation import spoken_tokens
from engines.errors import AttuneError
from engines.llm.vocabulary import Vocabulary
from engines.routes import all_words_of
from engines.types import SoftTokens

from ..distillation.gguf_model import dequantize_linears, load_language_model
from ..export.projector_file import load_projector
from ..projector.cif import CifProjector
from ..projector.decode import read_samples
from ..projector.embedlink import EmbedLink
from ..training.learner import ProjectorLearner
from ..training.samples import Sample, collate
from .baselines.bridgeformer import BridgeFormer, BridgeFormerConfig, BridgeFormerLink
from .baselines.end_to_end import END, EndToEnd, StackConfig, StackProjector

LONGEST_REPETITION_TOKENS, REPEATED_AT_ONCE = 24, 40
FRESH_LEARNING_RATE, PERSONAL_LEARNING_RATE = 8e-4, 2e-4


@dataclass(frozen=True)
class Design:
    """One way of joining speech to the language model, while it is trained."""

    name: str
    learner: ProjectorLearner
    transcribe: Callable[[Sequence[Sample]], list[str]]
    """Returns the words of utterances: each soft token's nearest row, or, end to end, what the
    language model repeats."""
    soft: Callable[[Sequence[Sample]], list[SoftTokens]]
    """Returns the soft tokens that the language model reads in place of utterances."""
    batch: int
    learning_rate: float
    stack: int
    """The frames joined into one group."""
    reads_first_pass: bool = False


NAMES = ("attune", "cif", "bridgeformer", "end-to-end")


def make_design(
    name: str,
    frame_width: int,
    vocabulary: Vocabulary,
    gguf: Path,
    base: Path,
    learnt: Sequence[str],
) -> Design:
    """A design with untrained weights, or the shipped ones (`attune`, from
    `base`/projector.safetensors), to learn the texts `learnt`. `cif` has the pronunciations of the
    shipped one, and nothing else of it.

    Raises AttuneError for a name that is not in NAMES.
    """
    if name in ("attune", "cif"):
        shipped = load_projector(base / "projector.safetensors")
        projector = (
            shipped
            if name == "attune"
            else CifProjector(
                replace(shipped.config, frame_width=frame_width, reads_first_pass=False)
            )
        )
        projector.keys.phonemes.copy_(shipped.keys.phonemes)
        learnt_tokens = {token for text in learnt for token in spoken_tokens(text, vocabulary)}
        return _embedlink(name, EmbedLink(projector, vocabulary, learnt_tokens))
    if name == "bridgeformer":
        return _bridgeformer(
            BridgeFormer(BridgeFormerConfig(frame_width, vocabulary.width)), vocabulary
        )
    if name == "end-to-end":
        stack = StackProjector(StackConfig(frame_width, vocabulary.width))
        language_model = load_language_model(gguf)
        dequantize_linears(language_model)  # once, not at every step: the baseline at its quickest
        return _end_to_end(EndToEnd(stack, vocabulary, language_model))
    raise AttuneError(f"there is no design {name}; choose from {', '.join(NAMES)}")


def _embedlink(name: str, learner: EmbedLink) -> Design:
    projector, vocabulary = learner.projector, learner.vocabulary

    def soft(samples: Sequence[Sample]) -> list[SoftTokens]:
        return read_samples(projector, samples, vocabulary)

    def transcribe(samples: Sequence[Sample]) -> list[str]:
        return all_words_of(soft(samples), vocabulary)

    learning_rate = FRESH_LEARNING_RATE if name == "cif" else PERSONAL_LEARNING_RATE
    return Design(
        name,
        learner,
        transcribe,
        soft,
        batch=16,
        learning_rate=learning_rate,
        stack=projector.config.stack,
        reads_first_pass=projector.config.reads_first_pass,
    )


def _bridgeformer(projector: BridgeFormer, vocabulary: Vocabulary) -> Design:
    learner = BridgeFormerLink(projector, vocabulary, vocabulary.tokenize(END, special=True)[0])

    @torch.no_grad()
    def soft(samples: Sequence[Sample]) -> list[SoftTokens]:
        batches = [collate([sample]) for sample in samples]
        vectors = [projector(batch.stacked, batch.mask)[0].numpy() for batch in batches]
        return [SoftTokens(some, float(len(some))) for some in vectors]

    def transcribe(samples: Sequence[Sample]) -> list[str]:
        vectors = torch.from_numpy(np.stack([one.vectors for one in soft(samples)]))
        return [vocabulary.detokenize(tokens).strip() for tokens in learner.nearest_tokens(vectors)]

    return Design(
        "bridgeformer",
        learner,
        transcribe,
        soft,
        batch=16,
        learning_rate=FRESH_LEARNING_RATE,
        stack=projector.config.stack,
    )


def _end_to_end(learner: EndToEnd) -> Design:
    @torch.no_grad()
    def soft(samples: Sequence[Sample]) -> list[SoftTokens]:
        made = []
        for batch in (collate([sample]) for sample in samples):
            vectors, mask = learner.projector(batch.stacked, batch.mask)
            kept = vectors[0][mask[0]].numpy()
            made.append(SoftTokens(kept, float(len(kept))))
        return made

    def transcribe(samples: Sequence[Sample]) -> list[str]:
        some = [
            samples[start : start + REPEATED_AT_ONCE]
            for start in range(0, len(samples), REPEATED_AT_ONCE)
        ]
        return [
            text for few in some for text in learner.repeat(collate(few), LONGEST_REPETITION_TOKENS)
        ]

    return Design(
        "end-to-end",
        learner,
        transcribe,
        soft,
        batch=8,
        learning_rate=1e-3,
        stack=learner.projector.config.stack,
    )
