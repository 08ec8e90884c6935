"""The two routes from speech to what the language model reads, behind one small interface. Knows no
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
from .types import SAMPLE_RATE_HZ, Float32, SoftTokens, TimedWord, Transcript, joined
from .whisper.phrases import NO_PHRASES, PhraseBook
from .whisper.recogniser import Recogniser
from .whisper.second_pass import leaves_doubt
from .whisper.transcript_confidence import TranscriptConfidence

_SEARCH_SECONDS, _SEARCH_SHARE = 1.2, 0.03
"""The time that the search for the best sentence of an utterance may take: so many seconds, and so
large a share of the utterance's length in addition. Its pieces share this time. Two idle cores need
half of it, and a long utterance takes no more than three times what the cascade does."""
_LEAST_JUDGED_TOKENS = 100
"""The fewest tokens that the language model scores for each piece of a long utterance."""


class Transcriber(Protocol):
    """A recogniser that writes down what was said."""

    def transcribe(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """Transcribe [N] samples at 16 kHz; empty where nothing was said. What leaves doubt is read
        again with `phrases` in mind. `step` is called between parts of the work."""
        ...

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """The words of `text`, which was said in [N] samples, with their times; none where they
        cannot be told apart."""
        ...


class Route(Protocol):
    """A way from speech to words for the language model."""

    @property
    def name(self) -> str:
        """`cascade` or `aligned`."""
        ...

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript | SoftTokens:
        """Turn [N] samples at 16 kHz into a transcript (cascade) or into soft tokens (aligned);
        either is empty where nothing was said. `phrases` are likelier than other words.

        `step` is called between parts of the work, each of which takes a second or two at most on
        two idle cores.
        """
        ...

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """The words of `text`, which was heard in [N] samples, with their times; none where they
        cannot be told apart."""
        ...

    def ready(self) -> None:
        """Open the models that the route needs, which its first use would do otherwise. Raises
        AttuneError where one cannot be opened."""
        ...


@dataclass(frozen=True)
class CascadeRoute:
    """The route that transcribes speech, and lets the language model read the text. It works from
    the first minute."""

    transcriber: Transcriber
    confidence: TranscriptConfidence | None = None
    """The fitted confidence in the transcripts; None where nothing was fitted."""
    name: str = "cascade"

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """Transcribe [N] samples at 16 kHz; empty where nothing was said. `step` is called between
        parts of the work."""
        return weighed(self.transcriber.transcribe(samples, step, phrases), self.confidence)

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """As `Route.timed`."""
        return self.transcriber.timed(samples, text)

    def ready(self) -> None:
        """Do nothing: the transcriber is open already."""


class LaterCascade:
    """A cascade whose transcriber is opened when it is used first."""

    name = "cascade"

    def __init__(
        self, open_one: Callable[[], Transcriber], confidence: TranscriptConfidence | None = None
    ) -> None:
        self._open_one = open_one
        self._confidence = confidence
        self._opened: CascadeRoute | None = None

    def ready(self) -> None:
        """Open the transcriber. Raises AttuneError where it cannot be opened."""
        self._route()

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """As `CascadeRoute.hear`; raises AttuneError where the transcriber cannot be opened."""
        return self._route().hear(samples, step, phrases)

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """As `Route.timed`."""
        return self._route().timed(samples, text)

    def _route(self) -> CascadeRoute:
        if self._opened is None:
            self._opened = CascadeRoute(self._open_one(), self._confidence)
        return self._opened


@dataclass(frozen=True)
class AlignedRoute:
    """The route that encodes and decodes an utterance piece by piece. Where the frames alone leave
    doubt, it decodes a first-pass transcript too, which takes more time."""

    recogniser: Recogniser
    decoder: Callable[[], AlignedDecoder]
    """Returns the decoder, which the first call opens: that takes a second and 200 MB."""
    unsure_takes_cascade: bool = False
    """Whether a piece that stays in doubt is replaced by what the cascade would transcribe."""
    transcript_confidence: TranscriptConfidence | None = None
    """The fitted confidence in those transcripts; None where nothing was fitted."""
    cutter: PauseCutter = field(default_factory=PauseCutter)
    name: str = "aligned"

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """As `Route.timed`."""
        return self.recogniser.timed(samples, text)

    def ready(self) -> None:
        """Open the encoder and the decoder. Raises AttuneError where one cannot be opened."""
        self.recogniser.encoder.ready()
        self.decoder()

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript | SoftTokens:
        """Decode [N] samples at 16 kHz into soft tokens, or into a transcript where a piece stays
        in doubt and `unsure_takes_cascade` is set. A first-pass transcript that leaves doubt is
        read again where there are `phrases`. `step` is called between the parts of the work."""
        pieces = self.cutter.cut(samples)
        count = max(1, len(pieces))
        search_seconds = (_SEARCH_SECONDS + _SEARCH_SHARE * len(samples) / SAMPLE_RATE_HZ) / count
        tokens = max(_LEAST_JUDGED_TOKENS, JUDGED_TOKENS // count)
        decoder = self.decoder()
        readings, transcripts = [], []
        for piece in pieces:
            step()
            frames = self.recogniser.encoder.encode(piece)
            step()
            bounds = SearchBounds(tokens, time.monotonic() + search_seconds, step)
            first_pass = cache(partial(self._first_pass, frames, phrases))
            readings.append(decoder.spoken(frames, first_pass, bounds))
            transcripts.append(partial(self.recogniser.read, frames, step, phrases))
        if self.unsure_takes_cascade and not all(piece.reading.sure for piece in readings):
            taken = list(_surest(decoder, readings, transcripts, step))
            return weighed(joined(taken), self.transcript_confidence)
        return decoder.written(readings)

    def _first_pass(self, frames: Float32, phrases: PhraseBook) -> Transcript:
        decoder = self.recogniser.decoder
        found = decoder.decode(frames)
        if phrases and leaves_doubt(found):
            return decoder.decode_again(frames, found, phrases)
        return found


def _surest(
    decoder: AlignedDecoder,
    readings: Sequence[Spoken],
    transcripts: Sequence[Callable[[], Transcript]],
    step: Step,
) -> Iterator[Transcript]:
    """The words of each piece: those of its reading where that is sure, else its transcript, whose
    likelihood alone counts."""
    for spoken, transcript in zip(readings, transcripts, strict=True):
        step()
        yield (
            Transcript(words_of(decoder.written([spoken]), decoder.vocabulary))
            if spoken.reading.sure
            else transcript()
        )


def weighed(transcript: Transcript, confidence: TranscriptConfidence | None) -> Transcript:
    """`transcript` with the confidence in it, where one was fitted."""
    return confidence.weigh(transcript) if confidence is not None else transcript


def words_of(heard: str | Transcript | SoftTokens, vocabulary: Vocabulary) -> str:
    """The words that were recognised, for people: the transcript, or the nearest row of the
    embedding table for each soft token, detokenized."""
    return all_words_of([heard], vocabulary)[0]


def all_words_of(
    heard: Sequence[str | Transcript | SoftTokens], vocabulary: Vocabulary
) -> list[str]:
    """The words of each of `heard`, as `words_of` gives them, for the price of one pass through the
    embedding table. An exact row is its own nearest."""
    vectors = [
        words.vectors for words in heard if isinstance(words, SoftTokens) and words.tokens is None
    ]
    found = iter(vocabulary.nearest(np.concatenate(vectors))[0] if vectors else [])

    def tokens_of(soft: SoftTokens) -> list[int]:
        return (
            list(soft.tokens) if soft.tokens is not None else list(islice(found, len(soft.vectors)))
        )

    def text_of(words: str | Transcript | SoftTokens) -> str:
        if isinstance(words, SoftTokens):
            return vocabulary.detokenize(tokens_of(words)).strip()
        return words.text if isinstance(words, Transcript) else words

    return [text_of(words) for words in heard]
