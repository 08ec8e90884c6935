"""The confidence in a transcript: the probability that every word of it is right, from how likely
the recogniser holds the whole sentence. Knows no sound.

A recogniser believes too much in what it hears, and a personal one more so. Platt scaling (Platt
1999, "Probabilistic outputs for support vector machines") corrects that by two numbers, which a
round fits to sentences that it never learnt.
"""

import math
from dataclasses import replace

from ..schema import Frozen
from ..types import Transcript

LABEL_CONFIDENCE = 0.85
"""The confidence from which on transcripts are tried as labels."""
LABEL_PRECISION = 0.9
"""The share of them that must be right."""


class TranscriptConfidence(Frozen):
    """A logistic regression on the log likelihood of a sentence."""

    offset: float
    slope: float
    threshold: float
    """The probability, 0 to 1, below which a transcript is in doubt."""
    precision: float | None = None
    """The share of the user's own transcripts with a confidence of LABEL_CONFIDENCE or more that
    were right; None where they were too few to say."""

    @property
    def writes_labels(self) -> bool:
        """Whether sure transcripts have proven good enough to be learnt from."""
        return self.precision is not None and self.precision >= LABEL_PRECISION

    def weigh(self, transcript: Transcript) -> Transcript:
        """`transcript` with the probability that every word is right; one without words stays as it
        is."""
        if not transcript.text:
            return transcript
        odds = self.offset + self.slope * transcript.log_likelihood
        confidence = 0.5 * (1 + math.tanh(odds / 2))  # the logistic function, which cannot overflow
        return replace(transcript, confidence=confidence, sure=confidence >= self.threshold)
