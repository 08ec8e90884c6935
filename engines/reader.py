"""What a generation makes of frames: one look; where that leaves doubt, everything it may have been, and the best of that.

Knows no samples: frames come from an encoder, drafts from whoever can make one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from .confidence import Confidence, evidence, rescored_evidence, weigh
from .hypotheses import Hypotheses, Likelihood, Looks, agreement, gather, repeats
from .projector import OnnxProjector
from .readout import Readout
from .spoken_text import as_written, spoken_tokens
from .types import Float32, SoftTokens, Transcript
from .vocabulary import Vocabulary

_NO_DRAFT = Transcript("", 0.0)


@dataclass(frozen=True)
class Reader:
    """A projector, its readout, and when the two are to be trusted."""

    projector: OnnxProjector
    readout: Readout
    vocabulary: Vocabulary
    confidence: Confidence | None
    """None where nothing was fitted: every reading is sure, and a projector that reads drafts always gets one."""
    likelihood: Likelihood
    """Of sentences, to a language model."""
    blends: bool = False
    """Whether the language model is to read blends of what was heard, as spoken, rather than the rows of a written sentence: for
    one that passes speech through an adapter, which has learnt them."""

    def read(self, frames: Float32, draft: Callable[[], Transcript]) -> SoftTokens:
        """[T, D] frames, and a `draft` that is made only when it is needed, to the surest reading of them, as written.

        Raises AttuneError where the language model cannot judge what was heard.
        """
        surest, blends = self._surest(frames, draft)
        written = as_written(surest, self.vocabulary)
        return replace(written, vectors=blends()) if self.blends else written

    def _surest(self, frames: Float32, draft: Callable[[], Transcript]) -> tuple[SoftTokens, Callable[[], Float32]]:
        """The surest reading, as spoken, and what makes blends of it."""
        if self.confidence is None:
            tokens = spoken_tokens(draft().text, self.vocabulary) if self.projector.reads_draft else []
            units = self.projector.project(frames, self.readout.rows_and_keys(tokens))
            scores = self.readout.scores(units, tokens)
            return self.readout.most_probable(scores, units.quantity), partial(scores.blends, self.vocabulary)
        looks = self.looks(frames)
        first = weigh(looks.first, evidence(looks.first), self.confidence.alone, self.confidence.threshold)
        if (first.sure and not repeats(first.tokens or ())) or self.confidence.rescored is None:
            return first, partial(looks.first_scores.blends, self.vocabulary)
        hypotheses = self.hypotheses(looks, draft)
        weights = self.confidence.witness_weights
        second = self.best(hypotheses, weights)
        found = rescored_evidence(second, first, hypotheses.draft)
        weighed = weigh(second, found, self.confidence.rescored, self.confidence.threshold)
        return weighed, partial(hypotheses.blends, weights, self.vocabulary)

    def looks(self, frames: Float32) -> Looks:
        """The first look at [T, D] frames, without a draft, and those that may follow."""
        return Looks(self.projector, self.readout, frames)

    def hypotheses(self, looks: Looks, draft: Callable[[], Transcript]) -> Hypotheses:
        """What was looked at may have been, with a `draft` of it where the projector reads one."""
        made = draft() if self.projector.reads_draft else _NO_DRAFT
        tokens = tuple(spoken_tokens(made.text, self.vocabulary))
        weights = self.confidence.witness_weights if self.confidence is not None else ()
        return gather(looks, tokens, made.confidence, self.likelihood, weights)

    def best(self, hypotheses: Hypotheses, weights: tuple[float, ...]) -> SoftTokens:
        """The most probable of `hypotheses`; its tokens are as probable as all hypotheses together make them."""
        probabilities = hypotheses.probabilities(weights)
        tokens = hypotheses.sentences[int(probabilities.argmax())]
        logs = tuple(math.log(max(share, 1e-9)) for share in agreement(tokens, hypotheses, probabilities))
        return SoftTokens(self.vocabulary.rows(tokens), hypotheses.quantity, tokens, logs)


def open_reader(
    projector: OnnxProjector,
    vocabulary: Vocabulary,
    confidence: Confidence | None,
    likelihood: Likelihood,
    threads: int,
    blends: bool = False,
) -> Reader:
    """A reader of a projector. Raises AttuneError where the projector does not say which tokens it heard."""
    readout = Readout(vocabulary, projector.heard_tokens, projector.keys, threads)
    return Reader(projector, readout, vocabulary, confidence, likelihood, blends)
