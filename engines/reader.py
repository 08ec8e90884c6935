"""What a generation makes of frames: one look; where that leaves doubt, a second one with a draft transcript, or the draft.

Knows no samples: frames come from an encoder, drafts from whoever can make one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .confidence import Confidence, weigh
from .projector import OnnxProjector
from .readout import Readout
from .spoken_text import as_written, spoken_tokens
from .types import Float32, SoftTokens, Transcript
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Reader:
    """A projector, its readout, and when the two are to be trusted."""

    projector: OnnxProjector
    readout: Readout
    vocabulary: Vocabulary
    confidence: Confidence | None
    """None where nothing was fitted: every reading is sure, and a projector that reads drafts always gets one."""

    def read(self, frames: Float32, draft: Callable[[], Transcript]) -> SoftTokens:
        """[T, D] frames, and a `draft` that is made only when it is needed, to the surest of up to three readings, as written."""
        return as_written(self._surest(frames, draft), self.vocabulary)

    def _surest(self, frames: Float32, draft: Callable[[], Transcript]) -> SoftTokens:
        if self.confidence is None:
            return self.look(frames, draft().text if self.projector.reads_draft else "")
        first = self.look(frames, "")
        if first.sure or not self.projector.reads_draft:
            return first
        made = draft()
        second = self.look(frames, made.text)
        readings = [first, second, *self.take(made, second)]
        return max(readings, key=lambda reading: reading.confidence or 0.0)

    def look(self, frames: Float32, draft: str) -> SoftTokens:
        """One look: [T, D] frames and a draft ("": none) to soft tokens that were read out, and weighed where that was fitted."""
        tokens = spoken_tokens(draft, self.vocabulary)
        reading = self.readout.read(self.projector.project(frames, self.readout.rows_and_keys(tokens)), tokens)
        if self.confidence is None:
            return reading
        fit = self.confidence.with_draft if tokens else None
        return weigh(reading, tokens, fit or self.confidence.alone, self.confidence.threshold)

    def take(self, draft: Transcript, look: SoftTokens) -> list[SoftTokens]:
        """The draft as it is, beside a `look` with it: one reading, or none where it is empty or no draft can be weighed."""
        reading = drafted(draft, look, self.vocabulary)
        if reading is None or self.confidence is None or self.confidence.draft is None:
            return []
        return [weigh(reading, look.tokens or (), self.confidence.draft, self.confidence.threshold)]


def drafted(draft: Transcript, look: SoftTokens, vocabulary: Vocabulary) -> SoftTokens | None:
    """The draft's own tokens, each as probable as all are on average, with the quantity of `look`; None for an empty draft."""
    tokens = tuple(spoken_tokens(draft.text, vocabulary))
    if not tokens:
        return None
    each = math.log(max(draft.confidence, 1e-6))
    return SoftTokens(vocabulary.rows(tokens), look.quantity, tokens, (each,) * len(tokens))


def open_reader(projector: OnnxProjector, vocabulary: Vocabulary, confidence: Confidence | None, threads: int) -> Reader:
    """A reader of a projector. Raises AttuneError where the projector does not say which tokens it heard."""
    return Reader(projector, Readout(vocabulary, projector.heard_tokens, projector.keys, threads), vocabulary, confidence)
