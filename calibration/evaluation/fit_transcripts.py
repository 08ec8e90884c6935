"""Fits the confidence in a recogniser's transcripts. Knows no audio."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.types import Transcript
from engines.whisper.transcript_confidence import LABEL_CONFIDENCE, TranscriptConfidence

from .fit_confidence import LEAST_READINGS, logistic_regression
from .text_scores import word_errors

THRESHOLD = 0.5
"""A sentence that is more likely wrong than right is asked about. A threshold that lets as many of
the held-out utterances pass as possible asks about half of what a clear voice says
(docs/experiments/050)."""
LEAST_SURE = 8
"""The fewest sure transcripts of the user's own that show whether such are right."""


@dataclass(frozen=True)
class Transcribed:
    """A labelled utterance that was never trained on, and its transcript."""

    text: str
    transcript: Transcript
    own: bool
    """Whether the user said it."""

    @property
    def right(self) -> bool:
        """Whether every word was transcribed right."""
        return word_errors(self.text, self.transcript.text)[0] == 0


def fit_transcript_confidence(readings: Sequence[Transcribed]) -> TranscriptConfidence | None:
    """The confidence fitted to `readings`, of which those without tokens are left out; None where
    fewer than LEAST_READINGS are left."""
    spoken = [one for one in readings if one.transcript.tokens]
    if len(spoken) < LEAST_READINGS:
        return None
    offset, (slope,) = logistic_regression(
        np.array([[one.transcript.log_likelihood] for one in spoken]),
        np.array([one.right for one in spoken]),
    )
    fitted = TranscriptConfidence(offset=offset, slope=slope, threshold=THRESHOLD)
    own = [(fitted.weigh(one.transcript).confidence or 0.0, one.right) for one in spoken if one.own]
    sure = [right for confidence, right in own if confidence >= LABEL_CONFIDENCE]
    precision = sum(sure) / len(sure) if len(sure) >= LEAST_SURE else None
    return fitted.model_copy(update={"precision": precision})
