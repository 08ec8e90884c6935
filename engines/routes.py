"""The two ways from speech to what the language model reads, behind one small interface. Knows no conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from .draft import Drafter
from .interfaces import SpeechEncoder
from .projector import OnnxProjector
from .readout import Readout
from .transcriber import WhisperTranscriber
from .types import Float32, SoftTokens
from .vocabulary import Vocabulary


class Route(Protocol):
    """Speech in, words for the language model out."""

    @property
    def name(self) -> str:
        """`cascade` or `aligned`."""
        ...

    def hear(self, samples: Float32) -> str | SoftTokens:
        """[N] samples at 16 kHz to a transcript (cascade) or to soft tokens (aligned)."""
        ...


@dataclass(frozen=True)
class CascadeRoute:
    """Recognise, then read: works from the first minute."""

    transcriber: WhisperTranscriber
    name: str = "cascade"

    def hear(self, samples: Float32) -> str:
        return self.transcriber.transcribe(samples).text


@dataclass(frozen=True)
class AlignedRoute:
    """Encode and project, with a draft transcript beside the frames where the projector reads one."""

    encoder: SpeechEncoder
    drafter: Drafter | None
    """None for who calls `read` with drafts of its own."""
    projector: OnnxProjector
    readout: Readout
    vocabulary: Vocabulary
    name: str = "aligned"

    def hear(self, samples: Float32) -> SoftTokens:
        frames = self.encoder.encode(samples)
        draft = self.drafter.draft(frames).text if self.drafter is not None and self.projector.reads_draft else ""
        return self.read(frames, draft)

    def read(self, frames: Float32, draft: str) -> SoftTokens:
        """The part of hearing that differs between generations: [T, D] frames and a draft ("": none) to sharpened soft tokens."""
        tokens = self.vocabulary.tokenize(draft)
        rows = self.vocabulary.rows(tokens)
        return self.readout.sharpen(self.projector.project(frames, rows), tokens, rows)


def words_of(heard: str | SoftTokens, vocabulary: Vocabulary) -> str:
    """What was heard, for people: the transcript, or each soft token's nearest row of the embedding table, detokenized."""
    return all_words_of([heard], vocabulary)[0]


def all_words_of(heard: Sequence[str | SoftTokens], vocabulary: Vocabulary) -> list[str]:
    """As `words_of`, for many at the price of one pass through the table. An exact row is its own nearest."""
    vectors = [words.vectors for words in heard if not isinstance(words, str) and words.tokens is None]
    found = iter(vocabulary.nearest(np.concatenate(vectors))[0] if vectors else [])

    def tokens_of(soft: SoftTokens) -> list[int]:
        return list(soft.tokens) if soft.tokens is not None else list(islice(found, len(soft.vectors)))

    return [words if isinstance(words, str) else vocabulary.detokenize(tokens_of(words)).strip() for words in heard]
