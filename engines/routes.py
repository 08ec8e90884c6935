"""The two ways from speech to what the language model reads, behind one small interface. Knows no conversation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Protocol

import numpy as np

from .draft import Drafter
from .reader import Reader
from .speech_encoder import SpeechEncoder
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

    def ready(self) -> None:
        """Open what it hears with, which its first use would do else. Raises AttuneError where that cannot be opened."""
        ...


@dataclass(frozen=True)
class CascadeRoute:
    """Recognise, then read: works from the first minute."""

    transcriber: WhisperTranscriber
    name: str = "cascade"

    def hear(self, samples: Float32) -> str:
        return self.transcriber.transcribe(samples).text

    def ready(self) -> None:
        """It always is."""


@dataclass(frozen=True)
class AlignedRoute:
    """Encode and read; a draft transcript is made, at its price, where the frames alone leave doubt."""

    encoder: SpeechEncoder
    drafter: Drafter
    open_reader: Callable[[], Reader]
    """Takes a second and 200 MB."""
    unsure_takes_draft: bool = False
    """Whether a reading that leaves doubt to the end gives way to the draft, which is what the cascade would have heard."""
    name: str = "aligned"

    @cached_property
    def reader(self) -> Reader:
        return self.open_reader()

    def ready(self) -> None:
        """As the protocol says."""
        self.encoder.ready()
        _ = self.reader

    def hear(self, samples: Float32) -> str | SoftTokens:
        """As the protocol says."""
        frames = self.encoder.encode(samples)
        draft = cache(lambda: self.drafter.draft(frames))
        reading = self.reader.read(frames, draft)
        return draft().text if self.unsure_takes_draft and not reading.sure else reading


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
