"""What a generation makes of frames: one look, and a second one with a draft transcript where the first leaves doubt.

Knows no samples: frames come from an encoder, drafts from whoever can make one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .confidence import Confidence, weigh
from .projector import OnnxProjector
from .readout import Readout
from .types import Float32, SoftTokens
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Reader:
    """A projector, its readout, and when the two are to be trusted."""

    projector: OnnxProjector
    readout: Readout
    vocabulary: Vocabulary
    confidence: Confidence | None
    """None where nothing was fitted: every reading is sure, and a projector that reads drafts always gets one."""

    def read(self, frames: Float32, draft: Callable[[], str]) -> SoftTokens:
        """[T, D] frames, and a `draft` that is made only when it is needed, to the surer of one or two looks."""
        if self.confidence is None:
            return self.look(frames, draft() if self.projector.reads_draft else "")
        first = self.look(frames, "")
        if first.sure or not self.projector.reads_draft:
            return first
        return max(first, self.look(frames, draft()), key=lambda reading: reading.confidence or 0.0)

    def look(self, frames: Float32, draft: str) -> SoftTokens:
        """One look: [T, D] frames and a draft ("": none) to soft tokens that were read out, and weighed where that was fitted."""
        tokens = self.vocabulary.tokenize(draft)
        rows = self.vocabulary.rows(tokens)
        reading = self.readout.sharpen(self.projector.project(frames, rows), tokens, rows)
        return weigh(reading, tokens, self.confidence) if self.confidence is not None else reading


def open_reader(projector: OnnxProjector, vocabulary: Vocabulary, confidence: Confidence | None, threads: int) -> Reader:
    """A reader of a projector. Raises AttuneError where the projector does not say which tokens it heard."""
    return Reader(projector, Readout(vocabulary, projector.heard_tokens, threads), vocabulary, confidence)
