"""The n-best list: sentences that an utterance may have been, with the features that rescoring
weighs.

One pass of the projector names a few words for each unit, and takes for granted how many units
there were. So the same frames are projected with a unit less and a unit more, without the
first-pass transcript and with it, and the most probable sentences of all those passes, and the
first-pass transcript itself, are gathered. The units' own probabilities are poor judges of a
sentence that was never enrolled; beside them stand how well its phonemes fit the frames
(`alignment/ctc_score.py`), which counts no units, and how likely the language model finds it
(`llm/sentence_scorer.py`). Knows no samples; `calibration/evaluation/fit_rescoring.py` fits the
weights of the features.
"""

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from ..interfaces import SentenceScorer, Step, unwatched
from ..llm.vocabulary import Vocabulary
from ..types import Float32, Units
from .ctc_score import phoneme_scores
from .projector import OnnxProjector
from .vocabulary_head import TokenLogProbabilities, VocabularyHead

FEATURES = (
    "alone",
    "with_first_pass",
    "phonemes",
    "language",
    "apart",
    "from_first_pass",
    "first_pass_confidence",
    "tokens",
)
"""What speaks for a sentence, in this order: its log probability by the units without a first-pass
transcript, and by those that have seen it; its phonemes' log scorer; the language model's; minus
the square of how far its number of tokens is from the quantity heard; whether it is the first-pass
transcript (1 or 0), and if so the logarithm of the mean probability of the first-pass transcript's
tokens; its number of tokens."""
(
    _ALONE,
    _WITH_FIRST_PASS,
    _PHONEMES,
    _LANGUAGE,
    _APART,
    _FROM_FIRST_PASS,
    _FIRST_PASS_CONFIDENCE,
    _TOKENS,
) = range(len(FEATURES))

_CHOICES, _WITHIN = 12, 8.0
_OF_EACH_PASS = 50
_KEPT = 30
"""Sentences that the language model judges at most: with 16, requests never enrolled have two
points more of word error."""
_FIRST_WEIGHTS = (0.03, 0.1, 0.12, 0.0, 0.1, 4.0, 3.0, 0.0)
"""By which they are chosen where nothing was fitted."""
_MARGIN = 3.0
"""How far the language model may move one sentence against another: what is further behind the best
is not asked about."""
_FIRST_PASS_MARGIN = 1.5
"""By how much a first-pass transcript must lead all others for nothing further to be looked at: so
it does in most utterances of a voice that recognisers hear well, which lose nothing by it
(docs/adr/0011)."""
_FIRST_PASS_APART, _FIRST_PASS_APART_TOKENS = 0.5, 2.0
"""By what share of the quantity heard, or by how many tokens if those are more, a first-pass
transcript may be longer or shorter. Of "Invite Angela to dinner" one made "And": a language model
always has more to say for that than for six words that it finds odd."""
_LEAST_TOKEN = -12.0
JUDGED_TOKENS = 240
"""That the language model reads for one utterance at most; a doubted request takes 114 on average,
at 4 ms each."""
_FARTHEST = 25.0
"""How far behind the best a sentence can be by one feature: it may be mistaken (a word whose
pronunciation it does not know), and no sentence that has everything else for it falls with it."""


class _OutOfTimeError(Exception):
    """The search has taken its time."""


@dataclass(frozen=True)
class SearchBounds:
    """What a search for the best sentence may take; then it ends with the best that it has."""

    judged_tokens: int = JUDGED_TOKENS
    """That the language model reads."""
    until: float = math.inf
    """On the monotonic clock, in seconds."""
    step: Step = unwatched
    """Called before each pass, and before each batch of tokens that the language model reads."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def timed_step(self) -> None:
        """A step. Raises _OutOfTimeError where the time is over."""
        self.step()
        if self.over:
            raise _OutOfTimeError


UNHURRIED = SearchBounds()


@dataclass(frozen=True)
class NBestList:
    """Sentences beside each other."""

    sentences: tuple[tuple[int, ...], ...]
    features: NDArray[np.float64]
    """[N, len(FEATURES)]."""
    quantity: float
    """Of the pass without a first-pass transcript."""
    first_pass: tuple[int, ...]

    def narrowed(self, weights: Sequence[float]) -> "NBestList":
        """Those that the language model could still make the best; the first-pass transcript alone
        where it leads."""
        scores = _without_language(self.features, weights)
        leads = self.sentences[int(scores.argmax())] == self.first_pass
        near = np.flatnonzero(scores >= scores.max() - _MARGIN)
        if leads and (scores[near] > scores.max() - _FIRST_PASS_MARGIN).sum() == 1:
            near = np.array([scores.argmax()])
        return self._at(near)

    def first(self, tokens: int) -> "NBestList":
        """The first of them, as many as a language model reads in so many tokens (what several
        begin with counts once), and at least one."""
        read: set[tuple[int, ...]] = set()
        for place, sentence in enumerate(self.sentences):
            read |= {sentence[:length] for length in range(1, len(sentence) + 1)}
            if place and len(read) > tokens:
                return self._at(np.arange(place))
        return self

    def unjudged(self) -> "NBestList":
        """As they are where no language model says anything. Nor does their length count: it only
        makes up for what a language model charges for each token."""
        features = self.features.copy()
        features[:, [_LANGUAGE, _TOKENS]] = 0.0
        return replace(self, features=features)

    def _at(self, places: NDArray[np.int64]) -> "NBestList":
        return replace(
            self,
            sentences=tuple(self.sentences[place] for place in places),
            features=self.features[places],
        )

    def probabilities(self, weights: Sequence[float]) -> NDArray[np.float64]:
        """[N] of each sentence's being the best of them, by weighted features."""
        scores = self.features @ np.asarray(weights)
        odds: NDArray[np.float64] = np.exp(scores - scores.max())
        return np.asarray(odds / odds.sum())

    def expected_embeddings(self, weights: Sequence[float], vocabulary: Vocabulary) -> Float32:
        """[U, E] the mean of the rows of all sentences that are as long as the most probable one,
        weighted by how probable they are by weighted features."""
        probabilities = self.probabilities(weights)
        count = len(self.sentences[int(probabilities.argmax())])
        alike = [
            (rate, tokens)
            for rate, tokens in zip(probabilities, self.sentences, strict=True)
            if len(tokens) == count
        ]
        expected = sum(rate * vocabulary.rows(tokens) for rate, tokens in alike) / sum(
            rate for rate, _ in alike
        )
        return np.asarray(expected, np.float32)


class ProjectorPasses:
    """Passes of the projector over one utterance, with any first-pass transcript (none: no tokens)
    and any number of units; each is made once."""

    def __init__(
        self,
        projector: OnnxProjector,
        head: VocabularyHead,
        frames: Float32,
        step: Step = unwatched,
    ) -> None:
        """Project [T, D] `frames` once, without a first-pass transcript. Each further pass begins
        with a `step`."""
        self._projector = projector
        self._head = head
        self._frames = frames
        self._step = step
        self._made: dict[tuple[tuple[int, ...], int], TokenLogProbabilities] = {}
        self._quantities: dict[tuple[int, ...], float] = {}
        own = self._project((), 0)
        self.quantity = own.quantity
        self.phonemes = own.phonemes
        self.alone_scores = self._made[(), len(own.vectors)]
        """What each of its units may have meant."""
        self.alone = head.most_probable(self.alone_scores, own.quantity)
        """What that pass reads."""

    def _project(self, first_pass: tuple[int, ...], asked: int) -> Units:
        units = self._projector.project(self._frames, self._head.rows_and_keys(first_pass), asked)
        self._made[first_pass, len(units.vectors)] = self._head.scores(units, first_pass)
        self._quantities[first_pass] = units.quantity
        return units

    def at(self, first_pass: tuple[int, ...], count: int) -> TokenLogProbabilities:
        """What each of `count` units may have meant, or of as many as there is room for."""
        if (first_pass, count) not in self._made:
            self._step()
            room = len(self._project(first_pass, count).vectors)
            self._made[first_pass, count] = self._made[first_pass, room]
        return self._made[first_pass, count]

    def sentences(self, first_pass: tuple[int, ...], spread: int) -> list[tuple[int, ...]]:
        """The most probable ones by all passes with as many units as were heard, give or take
        `spread`, those that repeat a word also without that, and the first-pass transcript unless
        it is far longer (a decoder that loops) or shorter than what was heard."""
        if first_pass not in self._quantities:
            self._project(first_pass, 0)
        found: dict[tuple[int, ...], None] = {}
        for seen in dict.fromkeys([(), first_pass]):
            heard = max(1, round(self._quantities[seen]))
            for count in range(max(1, heard - spread), heard + spread + 1):
                found |= dict.fromkeys(
                    most_probable(self.at(seen, count).choices(_CHOICES, _WITHIN), _OF_EACH_PASS)
                )
        found |= dict.fromkeys(said_once(sentence) for sentence in list(found))
        apart = abs(len(first_pass) - self.quantity)
        near = apart <= max(_FIRST_PASS_APART_TOKENS, _FIRST_PASS_APART * self.quantity)
        if (
            first_pass
            and near
            and len(self.at(first_pass, len(first_pass)).table) == len(first_pass)
        ):
            found[first_pass] = None
        return list(found)

    def features(
        self,
        sentences: Sequence[tuple[int, ...]],
        first_pass: tuple[int, ...],
        first_pass_probability: float,
    ) -> NDArray[np.float64]:
        """[N, len(FEATURES)] what speaks for `sentences`; the language model's score is not among
        it yet."""
        found = np.zeros((len(sentences), len(FEATURES)))
        spoken = [self._projector.pronunciations[list(sentence)] for sentence in sentences]
        stuttered = {
            said_once(sentence): sentence for sentence in reversed(sentences) if repeats(sentence)
        }
        found[:, _PHONEMES] = phoneme_scores(self.phonemes, [some[some > 0] for some in spoken])
        for row, sentence in zip(found, sentences, strict=True):
            for place, seen in ((_ALONE, ()), (_WITH_FIRST_PASS, first_pass)):
                # A word that made two units is as probable as those: at one unit less, all others
                # would have to shift.
                ways = {sentence, stuttered.get(sentence, sentence)}
                row[place] = max(self.at(seen, len(way)).of(way, _LEAST_TOKEN) for way in ways)
            row[_APART] = -((len(sentence) - self.quantity) ** 2)
            if sentence == first_pass:
                row[_FROM_FIRST_PASS], row[_FIRST_PASS_CONFIDENCE] = (
                    1.0,
                    math.log(max(first_pass_probability, 1e-3)),
                )
            row[_TOKENS] = len(sentence)
        likelihoods = [_ALONE, _WITH_FIRST_PASS, _PHONEMES]
        found[:, likelihoods] = _bounded(found[:, likelihoods])
        return found


def n_best_list(
    passes: ProjectorPasses,
    first_pass: tuple[int, ...],
    first_pass_probability: float,
    scorer: SentenceScorer,
    weights: Sequence[float],
    bounds: SearchBounds = UNHURRIED,
) -> NBestList:
    """The n-best list of an utterance: one sentence at least.

    `first_pass` are spoken tokens, or none where there is none; `first_pass_probability` is their
    mean probability, 0 to 1. With `weights` for the features, sentences are left out that the
    language model could not save any more, and where that leaves the first-pass transcript, nothing
    further is looked at. At the `bounds` the search ends with what it has. Raises what `scorer` and
    the step raise.
    """
    few = None
    for spread in (0, 1) if weights else (1,):
        if few is not None and bounds.over:
            break
        few = _n_best_list(passes, first_pass, first_pass_probability, weights, spread)
        # A recogniser and the units agree: nothing is left to look for.
        if few.sentences == (first_pass,):
            return few
    assert few is not None
    few = few.first(bounds.judged_tokens)
    if len(few.sentences) > 1:
        try:
            bounds.timed_step()
            few.features[:, _LANGUAGE] = _bounded(
                np.array(scorer(few.sentences, bounds.timed_step))
            )
        except _OutOfTimeError:
            return few.unjudged()
    return few


def _n_best_list(
    passes: ProjectorPasses,
    first_pass: tuple[int, ...],
    first_pass_probability: float,
    weights: Sequence[float],
    spread: int,
) -> NBestList:
    """The n-best list that passes at `spread` units more and less give, the best first."""
    sentences = passes.sentences(first_pass, spread)
    features = passes.features(sentences, first_pass, first_pass_probability)
    scores = _without_language(features, weights or _FIRST_WEIGHTS)
    best = [
        place
        for rank, place in enumerate(np.argsort(-scores, kind="stable"))
        if rank < _KEPT or features[place, _FROM_FIRST_PASS]
    ]
    few = NBestList(
        tuple(sentences[place] for place in best), features[best], passes.quantity, first_pass
    )
    return few.narrowed(weights) if weights else few


def said_once(sentence: Sequence[int]) -> tuple[int, ...]:
    """A sentence without the tokens that only repeat the one before them."""
    return tuple(
        token for before, token in zip((None, *sentence), sentence, strict=False) if token != before
    )


def repeats(sentence: Sequence[int]) -> bool:
    """Whether a token follows itself: a long word may have made two units."""
    return len(said_once(sentence)) < len(sentence)


def _bounded(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] or [N, W]: none farther than _FARTHEST behind the best of its column."""
    return np.asarray(np.maximum(scores, scores.max(axis=0) - _FARTHEST))


def _without_language(
    features: NDArray[np.float64], weights: Sequence[float]
) -> NDArray[np.float64]:
    """[N] by weighted features, but for the language model's and the length's: that makes up for
    what the language model charges for each token, and without it would put the longest sentences
    first."""
    counted = np.array(weights)
    counted[[_LANGUAGE, _TOKENS]] = 0.0
    return np.asarray(features @ counted)


def most_probable(units: Sequence[Sequence[tuple[int, float]]], most: int) -> list[tuple[int, ...]]:
    """The `most` most probable sentences, best first, of units that may be tokens of some log
    probability, each by itself."""
    found: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for choices in units:
        longer = (
            ((*tokens, token), total + value) for tokens, total in found for token, value in choices
        )
        found = heapq.nlargest(most, longer, key=lambda sentence: sentence[1])
    return [tokens for tokens, _ in found]


def agreement(
    sentence: Sequence[int], n_best: NBestList, probabilities: NDArray[np.float64]
) -> list[float]:
    """For each token of `sentence` the summed probability, 0 to 1, of the sentences that have it in
    the same place."""
    agreed = np.zeros(len(sentence))
    for other, share in zip(n_best.sentences, probabilities, strict=True):
        for block in SequenceMatcher(None, sentence, other, autojunk=False).get_matching_blocks():
            agreed[block.a : block.a + block.size] += share
    return [min(1.0, float(value)) for value in agreed]
