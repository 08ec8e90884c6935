"""Frozen values that several parts exchange. Knows numpy and nothing else of this project."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Device = Literal["cpu", "gpu"]
"""The device that a model computes on."""

Float32 = NDArray[np.float32]
Float16 = NDArray[np.float16]

SAMPLE_RATE_HZ = 16_000
"""Every array of samples in Attune is mono float32 in [-1, 1] at this rate."""

FRAME_SECONDS = 0.02
"""The duration of one encoder frame, which covers two log-mel columns of 10 ms."""


@dataclass(frozen=True)
class Segment:
    """A stretch of speech that voice activity detection cut out of a stream."""

    samples: Float32
    """[N] mono samples at SAMPLE_RATE_HZ, pre-roll and closing silence included."""
    start_seconds: float
    """Position of the first sample in its stream."""
    longest_pause_seconds: float = 0.0
    """The longest silence between two stretches of speech in it."""
    silence_seconds: float = 0.0
    """The silence after its last speech until it was taken for ended, or for a pause."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Transcript:
    """A recognised text."""

    text: str
    log_likelihood: float = 0.0
    """The natural log likelihood of the text and its end, given the sound."""
    tokens: int = 0
    """The number of tokens of the text, its end among them; 0 where nothing was said."""
    confidence: float | None = None
    """Fitted probability that every word is right; None where nothing was fitted."""
    sure: bool = True
    """False where `confidence` is below the generation's threshold."""
    doubtful: tuple[int, ...] = ()
    """The places of the words of `text`, from 0, that may be others; where the sentence left doubt
    and was compared with others."""
    others: tuple[str, ...] = ()
    """The other sentences that it was compared with, the likeliest first."""

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return not self.text.strip()

    @property
    def mean_probability(self) -> float:
        """The geometric mean of the tokens' probabilities, 0 to 1; 0 where nothing was said."""
        return math.exp(min(0.0, self.log_likelihood / self.tokens)) if self.tokens else 0.0


@dataclass(frozen=True)
class TimedWord:
    """A word, and when it was said."""

    text: str
    start_seconds: float
    """Since the beginning of the recording."""
    end_seconds: float


def joined(transcripts: Sequence[Transcript]) -> Transcript:
    """The transcript of pieces that follow each other, without confidence: as likely as all of them
    together. The other sentences of one piece alone stay."""
    spoken = [one for one in transcripts if one.text]
    words_before = list(accumulate((len(one.text.split()) for one in spoken), initial=0))
    return Transcript(
        " ".join(one.text for one in spoken),
        sum((one.log_likelihood for one in spoken), 0.0),
        sum(one.tokens for one in spoken),
        doubtful=tuple(
            before + place
            for before, one in zip(words_before, spoken, strict=False)
            for place in one.doubtful
        ),
        others=spoken[0].others if len(spoken) == 1 else (),
    )


@dataclass(frozen=True)
class Units:
    """The units that a projector makes of frames, before a vocabulary head makes soft tokens of
    them."""

    vectors: Float32
    """[U, E + K]: the product with a token's unit row and pronunciation key, side by side, is that
    token's score (a logit)."""
    quantity: float
    """The unrounded sum of the integrate-and-fire weights: how many tokens the projector believes
    were said."""
    phonemes: Float32
    """[P, S] log probabilities of phonemes, from 1 on, at each of P moments; 0 is none
    (`alignment/ctc_score.py`)."""


@dataclass(frozen=True)
class SoftTokens:
    """Vectors that take the place of tokens in the language model."""

    vectors: Float32
    """[U, E] in the space of the language model's embedding table: rows of it, or
    expected embeddings, which are means of rows."""
    quantity: float
    """The unrounded sum of the integrate-and-fire weights: how many tokens the projector believes
    were said."""
    tokens: tuple[int, ...] | None = None
    """The tokens that were recognised. Where the vectors are rows, they are the rows of these
    tokens; expected embeddings may be fewer or more. None where no vocabulary head made the
    vectors."""
    log_probabilities: tuple[float, ...] | None = None
    """[U] of each token among all that it could have been; None where no
    vocabulary head made the vectors."""
    confidences: tuple[float, ...] | None = None
    """[U] fitted probabilities that each token is right; None where nothing was fitted."""
    confidence: float | None = None
    """Fitted probability that every word is right; None where nothing was fitted."""
    sure: bool = True
    """False where `confidence` is below the generation's threshold."""
    others: tuple[str, ...] = ()
    """The other sentences that the reading was compared with, as texts, the likeliest first."""

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return not len(self.vectors)
