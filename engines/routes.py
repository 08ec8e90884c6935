"""The two ways from speech to what the language model reads, behind one small interface. Knows no
conversation."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from typing import Protocol

import numpy as np

from .alignment.decoder import AlignedDecoder, Spoken
from .alignment.nbest import JUDGED_TOKENS, SearchBounds
from .audio.pieces import PauseCutter
from .interfaces import Step, unwatched
from .llm.vocabulary import Vocabulary
from .types import SAMPLE_RATE_HZ, Float32, SoftTokens, Transcript
from .whisper.encoder import SpeechEncoder
from .whisper.first_pass import FirstPassDecoder
from .whisper.transcriber import WhisperTranscriber

_SEARCH_SECONDS, _SEARCH_SHARE = 1.2, 0.03
"""What looking for the best sentences of an utterance may take, and beside that, as a share of its
length. Its pieces share it. Two idle cores need half of it, and a long utterance takes no more than
three times what the cascade does."""
_LEAST_JUDGED_TOKENS = 100
"""That the language model reads for each piece of a long utterance."""


class Route(Protocol):
    """Speech in, words for the language model out."""

    @property
    def name(self) -> str:
        """`cascade` or `aligned`."""
        ...

    def hear(self, samples: Float32, step: Step = unwatched) -> str | SoftTokens:
        """[N] samples at 16 kHz to a transcript (cascade) or to soft tokens (aligned): none where
        nothing was said.

        Takes a `step` between parts of the work, each of which takes a second or two on two idle
        cores at most.
        """
        ...

    def ready(self) -> None:
        """Open what it hears with, which its first use would do else. Raises AttuneError where that
        cannot be opened."""
        ...


@dataclass(frozen=True)
class CascadeRoute:
    """Recognise, then read: works from the first minute."""

    transcriber: WhisperTranscriber
    name: str = "cascade"

    def hear(self, samples: Float32, step: Step = unwatched) -> str:
        """As the protocol says."""
        step()
        text = self.transcriber.transcribe(samples).text
        step()
        return text

    def ready(self) -> None:
        """It always is."""


@dataclass(frozen=True)
class AlignedRoute:
    """Encode and read, piece by piece; a first-pass transcript is made, at its price, where the
    frames alone leave doubt."""

    encoder: SpeechEncoder
    first_pass_decoder: FirstPassDecoder
    decoder: Callable[[], AlignedDecoder]
    """The decoder, which its first use opens: that takes a second and 200 MB."""
    unsure_takes_first_pass: bool = False
    """Whether a piece whose reading leaves doubt to the end gives way to its first-pass transcript,
    about what the cascade would hear."""
    cutter: PauseCutter = field(default_factory=PauseCutter)
    name: str = "aligned"

    def ready(self) -> None:
        """As the protocol says."""
        self.encoder.ready()
        self.decoder()

    def hear(self, samples: Float32, step: Step = unwatched) -> str | SoftTokens:
        """As the protocol says."""
        pieces = self.cutter.cut(samples)
        count = max(1, len(pieces))
        search_seconds = (_SEARCH_SECONDS + _SEARCH_SHARE * len(samples) / SAMPLE_RATE_HZ) / count
        tokens = max(_LEAST_JUDGED_TOKENS, JUDGED_TOKENS // count)
        decoder = self.decoder()
        readings, first_passes = [], []
        for piece in pieces:
            step()
            frames = self.encoder.encode(piece)
            step()
            first_passes.append(cache(partial(self.first_pass_decoder.decode, frames)))
            bounds = SearchBounds(tokens, time.monotonic() + search_seconds, step)
            readings.append(decoder.spoken(frames, first_passes[-1], bounds))
        if self.unsure_takes_first_pass and not all(piece.reading.sure for piece in readings):
            return " ".join(_surest(decoder, readings, first_passes, step))
        return decoder.written(readings)


def _surest(
    decoder: AlignedDecoder,
    readings: Sequence[Spoken],
    first_passes: Sequence[Callable[[], Transcript]],
    step: Step,
) -> Iterator[str]:
    """The words of each piece: those of its reading where that is sure, else its first-pass
    transcript."""
    for spoken, first_pass in zip(readings, first_passes, strict=True):
        step()
        yield (
            words_of(decoder.written([spoken]), decoder.vocabulary)
            if spoken.reading.sure
            else first_pass().text
        )


def words_of(heard: str | SoftTokens, vocabulary: Vocabulary) -> str:
    """What was heard, for people: the transcript, or each soft token's nearest row of the embedding
    table, detokenized."""
    return all_words_of([heard], vocabulary)[0]


def all_words_of(heard: Sequence[str | SoftTokens], vocabulary: Vocabulary) -> list[str]:
    """As `words_of`, for many at the price of one pass through the table. An exact row is its own
    nearest."""
    vectors = [
        words.vectors for words in heard if not isinstance(words, str) and words.tokens is None
    ]
    found = iter(vocabulary.nearest(np.concatenate(vectors))[0] if vectors else [])

    def tokens_of(soft: SoftTokens) -> list[int]:
        return (
            list(soft.tokens) if soft.tokens is not None else list(islice(found, len(soft.vectors)))
        )

    return [
        words if isinstance(words, str) else vocabulary.detokenize(tokens_of(words)).strip()
        for words in heard
    ]
