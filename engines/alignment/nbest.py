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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..interfaces import SentenceScorer, Step, unwatched
from ..types import Float32, Units
from .ctc_score import phoneme_scores
from .projector import OnnxProjector
from .rescoring import Feature, NBestList, bounded, scores_without_language
from .vocabulary_head import TokenLogProbabilities, VocabularyHead

_CHOICES, _WITHIN = 12, 8.0
_OF_EACH_PASS = 50
_KEPT = 30
"""Sentences that the language model judges at most: with 16, requests never enrolled have two
points more of word error."""
_FIRST_WEIGHTS = (0.03, 0.1, 0.12, 0.0, 0.1, 4.0, 3.0, 0.0)
"""By which they are chosen where nothing was fitted."""
_FIRST_PASS_APART, _FIRST_PASS_APART_TOKENS = 0.5, 2.0
"""By what share of the quantity heard, or by how many tokens if those are more, a first-pass
transcript may be longer or shorter. Of "Invite Angela to dinner" one made "And": a language model
always has more to say for that than for six words that it finds odd."""
_LEAST_TOKEN = -12.0
JUDGED_TOKENS = 240
"""That the language model reads for one utterance at most; a doubted request takes 114 on average,
at 4 ms each."""


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
        """[N, len(Feature)] what speaks for `sentences`; the language model's score is not among
        it yet."""
        found = np.zeros((len(sentences), len(Feature)))
        spoken = [self._projector.pronunciations[list(sentence)] for sentence in sentences]
        stuttered = {
            said_once(sentence): sentence for sentence in reversed(sentences) if repeats(sentence)
        }
        found[:, Feature.PHONEMES] = phoneme_scores(
            self.phonemes, [some[some > 0] for some in spoken]
        )
        for row, sentence in zip(found, sentences, strict=True):
            for place, seen in ((Feature.ALONE, ()), (Feature.WITH_FIRST_PASS, first_pass)):
                # A word that made two units is as probable as those: at one unit less, all others
                # would have to shift.
                ways = {sentence, stuttered.get(sentence, sentence)}
                row[place] = max(self.at(seen, len(way)).of(way, _LEAST_TOKEN) for way in ways)
            row[Feature.APART] = -((len(sentence) - self.quantity) ** 2)
            if sentence == first_pass:
                row[Feature.FROM_FIRST_PASS], row[Feature.FIRST_PASS_CONFIDENCE] = (
                    1.0,
                    math.log(max(first_pass_probability, 1e-3)),
                )
            row[Feature.TOKENS] = len(sentence)
        likelihoods = [Feature.ALONE, Feature.WITH_FIRST_PASS, Feature.PHONEMES]
        found[:, likelihoods] = bounded(found[:, likelihoods])
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
            few.features[:, Feature.LANGUAGE] = bounded(
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
    scores = scores_without_language(features, weights or _FIRST_WEIGHTS)
    best = [
        place
        for rank, place in enumerate(np.argsort(-scores, kind="stable"))
        if rank < _KEPT or features[place, Feature.FROM_FIRST_PASS]
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
