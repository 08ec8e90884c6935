"""Decodes encoder frames into soft tokens: by one projector pass, or, where that leaves doubt, by
rescoring an n-best list.

Knows no samples: an encoder makes the frames, and a callback makes the first-pass transcript.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from ..interfaces import SentenceScorer, Step, unwatched
from ..llm.vocabulary import Vocabulary
from ..spans import span
from ..types import Float32, SoftTokens, Transcript
from .confidence import Confidence, features, rescored_features, weigh
from .nbest import UNHURRIED, ProjectorPasses, SearchBounds, n_best_list, repeats
from .projector import OnnxProjector
from .rescoring import NBestList, agreement
from .text_normalisation import as_written, spoken_tokens
from .vocabulary_head import VocabularyHead

Output = Literal["rows", "expected_embeddings"]
"""The soft tokens that the language model reads: the rows of a written sentence; or the expected
embeddings of the sentence as spoken, which only a language model with an adapter for speech has
learnt to read."""
_NO_FIRST_PASS = Transcript("")
_MOST_OTHERS = 5
_LEAST_LIKELY = 3e-4
"""How likely another sentence has to be to be told of, as a share of the best one's
probability."""


@dataclass(frozen=True)
class Spoken:
    """The reading of one piece of an utterance, in tokens as they are spoken."""

    reading: SoftTokens
    expected_embeddings: Callable[[], Float32]
    """Computes the expected embeddings, [U, E], of the reading."""


@dataclass(frozen=True)
class AlignedDecoder:
    """A projector with its vocabulary head, its scorer of sentences and its confidence."""

    projector: OnnxProjector
    head: VocabularyHead
    vocabulary: Vocabulary
    confidence: Confidence | None
    """The fitted confidence. None where nothing was fitted: then every reading is sure, and a
    projector that reads first-pass transcripts always gets one."""
    scorer: SentenceScorer
    """Scores sentences by a language model."""
    output: Output = "rows"

    def read(
        self,
        frames: Float32,
        first_pass: Callable[[], Transcript],
        bounds: SearchBounds = UNHURRIED,
    ) -> SoftTokens:
        """Decode [T, D] frames into the surest reading, as written. `first_pass` is called only
        where a first-pass transcript is needed.

        Raises AttuneError where the language model cannot score the sentences, and what the step of
        `bounds` raises.
        """
        return self.written([self.spoken(frames, first_pass, bounds)])

    def spoken(
        self,
        frames: Float32,
        first_pass: Callable[[], Transcript],
        bounds: SearchBounds = UNHURRIED,
    ) -> Spoken:
        """Decode the [T, D] frames of one piece of an utterance, as spoken; `written` joins the
        pieces. Parameters and errors are those of `read`."""
        if self.confidence is None:
            tokens = (
                spoken_tokens(first_pass().text, self.vocabulary)
                if self.projector.reads_first_pass
                else []
            )
            units = self.projector.project(frames, self.head.rows_and_keys(tokens))
            scores = self.head.scores(units, tokens)
            return Spoken(
                self.head.most_probable(scores, units.quantity),
                partial(scores.expected_embeddings, self.vocabulary),
            )
        with span("read"):
            passes = self.passes(frames, bounds.step)
            first = _first_reading(passes.alone, self.confidence)
        if not _leaves_doubt(first, self.confidence):
            return Spoken(first, partial(passes.alone_scores.expected_embeddings, self.vocabulary))
        bounds.step()
        with span("rescore"):
            n_best = self.n_best(passes, first_pass, bounds)
            rescored = self._rescored(first, n_best, self.confidence)
        return Spoken(
            rescored,
            partial(n_best.expected_embeddings, self.confidence.rescoring_weights, self.vocabulary),
        )

    def read_again(self, alone: SoftTokens, n_best: NBestList) -> SoftTokens:
        """The reading, as written and in rows, of an utterance that was decoded before the
        confidence was fitted: by one projector pass as `alone`, and, by a search without weights,
        as `n_best`."""
        assert self.confidence is not None
        reading = _first_reading(alone, self.confidence)
        if _leaves_doubt(reading, self.confidence):
            near = n_best.narrowed(self.confidence.rescoring_weights)
            reading = self._rescored(reading, near, self.confidence)
        return as_written(reading, self.vocabulary)

    def _rescored(self, first: SoftTokens, n_best: NBestList, confidence: Confidence) -> SoftTokens:
        assert confidence.rescored is not None
        second = self.best(n_best, confidence.rescoring_weights)
        found = rescored_features(second, first, n_best.first_pass)
        return weigh(second, found, confidence.rescored, confidence.threshold)

    def written(self, pieces: Sequence[Spoken]) -> SoftTokens:
        """Join the readings of the pieces of an utterance into one, as written; without pieces it
        has no soft tokens.

        The whole is as sure as its least sure piece, and is sure only where all pieces are.
        """
        if not pieces:
            return SoftTokens(np.zeros((0, self.vocabulary.width), np.float32), 0.0, (), ())
        whole = as_written(_joined([piece.reading for piece in pieces]), self.vocabulary)
        return (
            replace(
                whole, vectors=np.concatenate([piece.expected_embeddings() for piece in pieces])
            )
            if self.output == "expected_embeddings"
            else whole
        )

    def passes(self, frames: Float32, step: Step = unwatched) -> ProjectorPasses:
        """The projector passes over [T, D] frames: the first, without a first-pass transcript, is
        made here; `step` is called before each further one."""
        return ProjectorPasses(self.projector, self.head, frames, step)

    def n_best(
        self,
        passes: ProjectorPasses,
        first_pass: Callable[[], Transcript],
        bounds: SearchBounds = UNHURRIED,
    ) -> NBestList:
        """The n-best list of an utterance, with its first-pass transcript where the projector reads
        one."""
        made = first_pass() if self.projector.reads_first_pass else _NO_FIRST_PASS
        tokens = tuple(spoken_tokens(made.text, self.vocabulary))
        weights = self.confidence.rescoring_weights if self.confidence is not None else ()
        return n_best_list(passes, tokens, made.mean_probability, self.scorer, weights, bounds)

    def best(self, n_best: NBestList, weights: tuple[float, ...]) -> SoftTokens:
        """The most probable sentence of `n_best`. The probability of each of its tokens is summed
        over all sentences that agree on it."""
        probabilities = n_best.probabilities(weights)
        tokens = n_best.sentences[int(probabilities.argmax())]
        logs = tuple(
            math.log(max(share, 1e-9)) for share in agreement(tokens, n_best, probabilities)
        )
        others = tuple(
            self.vocabulary.detokenize(n_best.sentences[place]).strip()
            for place in (-probabilities).argsort()[1 : _MOST_OTHERS + 1]
            if probabilities[place] > _LEAST_LIKELY * probabilities.max()
        )
        return SoftTokens(
            self.vocabulary.rows(tokens), n_best.quantity, tokens, logs, others=others
        )


def open_decoder(
    projector: OnnxProjector,
    vocabulary: Vocabulary,
    confidence: Confidence | None,
    scorer: SentenceScorer,
    threads: int,
    output: Output = "rows",
) -> AlignedDecoder:
    """Open the decoder of a projector. Raises AttuneError where the projector does not say which
    tokens it knows."""
    head = VocabularyHead(vocabulary, projector.known_tokens, projector.keys, threads)
    return AlignedDecoder(projector, head, vocabulary, confidence, scorer, output)


def _first_reading(alone: SoftTokens, confidence: Confidence) -> SoftTokens:
    return weigh(alone, features(alone), confidence.alone, confidence.threshold)


def _leaves_doubt(first: SoftTokens, confidence: Confidence) -> bool:
    """Whether an n-best list is searched for what one projector pass has read."""
    sure = first.sure and not repeats(first.tokens or ())
    return not sure and confidence.rescored is not None


def _joined(readings: Sequence[SoftTokens]) -> SoftTokens:
    """The readings of the pieces of one utterance, one or more, joined into the reading of all of
    it."""
    if len(readings) == 1:
        return readings[0]
    sure = [reading.confidence for reading in readings if reading.confidence is not None]
    return SoftTokens(
        np.concatenate([reading.vectors for reading in readings]),
        sum(reading.quantity for reading in readings),
        tuple(token for reading in readings for token in reading.tokens or ()),
        tuple(value for reading in readings for value in reading.log_probabilities or ()),
        tuple(value for reading in readings for value in reading.confidences or ())
        if sure
        else None,
        min(sure) if sure else None,
        all(reading.sure for reading in readings),
    )
