"""The n-best list: the sentences that an utterance may have been, with the features that rescoring
weighs.

One projector pass names a few tokens for each unit, and takes for granted how many units there
were. So the same frames are projected with a unit less and a unit more, without the first-pass
transcript and with it; the most probable sentences of all those passes, and the first-pass
transcript itself, are gathered. The units' own probabilities are poor judges of a sentence that was
never enrolled. So two more scores stand beside them: how well its phonemes fit the frames
(`alignment/ctc_score.py`), which counts no units, and how likely the language model finds it
(`llm/sentence_scorer.py`). Knows no samples.
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
"""The most sentences that the language model scores: with 16, requests never enrolled have two
points more of word error."""
_FIRST_WEIGHTS = (0.03, 0.1, 0.12, 0.0, 0.1, 4.0, 3.0, 0.0)
"""The weights that choose sentences where none were fitted."""
_FIRST_PASS_APART, _FIRST_PASS_APART_TOKENS = 0.5, 2.0
"""The share of the quantity, and the number of tokens, by the larger of which a first-pass
transcript may be longer or shorter. Of "Invite Angela to dinner" one made "And": a language model
always prefers that to six words that it finds odd."""
_LEAST_TOKEN = -12.0
JUDGED_TOKENS = 240
"""The most tokens that the language model scores for one utterance; a doubted request takes 114 on
average, at 4 ms each."""


class _OutOfTimeError(Exception):
    """The search has used up its time."""


@dataclass(frozen=True)
class SearchBounds:
    """The bounds of a search for the best sentence; at the first of them it ends with the best that
    it has."""

    judged_tokens: int = JUDGED_TOKENS
    """The most tokens that the language model scores."""
    until: float = math.inf
    """The time at which the search ends, in seconds of the monotonic clock."""
    step: Step = unwatched
    """A callback before each projector pass, and before each batch of tokens that the language
    model scores."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def timed_step(self) -> None:
        """Call the step. Raises _OutOfTimeError where the time is over."""
        self.step()
        if self.over:
            raise _OutOfTimeError


UNHURRIED = SearchBounds()


class ProjectorPasses:
    """The projector passes over one utterance, with any first-pass transcript (no tokens for none)
    and any number of units. Each pass is made once."""

    def __init__(
        self,
        projector: OnnxProjector,
        head: VocabularyHead,
        frames: Float32,
        step: Step = unwatched,
    ) -> None:
        """Project [T, D] `frames` once, without a first-pass transcript. `step` is called before
        each further pass."""
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
        """The scores of the pass without a first-pass transcript."""
        self.alone = head.most_probable(self.alone_scores, own.quantity)
        """The reading of the pass without a first-pass transcript."""

    def _project(self, first_pass: tuple[int, ...], asked: int) -> Units:
        units = self._projector.project(self._frames, self._head.rows_and_keys(first_pass), asked)
        self._made[first_pass, len(units.vectors)] = self._head.scores(units, first_pass)
        self._quantities[first_pass] = units.quantity
        return units

    def at(self, first_pass: tuple[int, ...], count: int) -> TokenLogProbabilities:
        """The token probabilities of a pass with `count` units, or with as many as there is room
        for."""
        if (first_pass, count) not in self._made:
            self._step()
            room = len(self._project(first_pass, count).vectors)
            self._made[first_pass, count] = self._made[first_pass, room]
        return self._made[first_pass, count]

    def sentences(self, first_pass: tuple[int, ...], spread: int) -> list[tuple[int, ...]]:
        """The most probable sentences of all passes whose number of units differs by at most
        `spread` from the quantity. Sentences that repeat a word are also there without the
        repetition. The first-pass transcript is among them, unless it is far longer than the
        quantity (a decoder that loops) or far shorter."""
        if first_pass not in self._quantities:
            self._project(first_pass, 0)
        found: dict[tuple[int, ...], None] = {}
        for seen in dict.fromkeys([(), first_pass]):
            quantity = max(1, round(self._quantities[seen]))
            for count in range(max(1, quantity - spread), quantity + spread + 1):
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
        """The features, [N, len(Feature)], of `sentences`; the language model's score is still
        0."""
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
    """The n-best list of an utterance, with at least one sentence.

    `first_pass` are spoken tokens, or none where there is none; `first_pass_probability` is their
    mean probability, 0 to 1. With `weights` for the features, sentences are left out that the
    language model could not make the best any more; where that leaves only the first-pass
    transcript, the search ends. At the `bounds` it ends with what it has. Raises what `scorer` and
    the step raise.
    """
    few = None
    for spread in (0, 1) if weights else (1,):
        if few is not None and bounds.over:
            break
        few = _n_best_list(passes, first_pass, first_pass_probability, weights, spread)
        # The first-pass transcript leads: the search ends.
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
    """The n-best list of passes with up to `spread` units more and less, the best sentence
    first."""
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
    """`sentence` without the tokens that only repeat the one before them."""
    return tuple(
        token for before, token in zip((None, *sentence), sentence, strict=False) if token != before
    )


def repeats(sentence: Sequence[int]) -> bool:
    """Whether a token of `sentence` follows itself: a long word may have made two units."""
    return len(said_once(sentence)) < len(sentence)


def most_probable(units: Sequence[Sequence[tuple[int, float]]], most: int) -> list[tuple[int, ...]]:
    """The `most` most probable sentences, best first, of units given as lists of possible tokens
    with their log probabilities; units are taken as independent."""
    found: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for choices in units:
        longer = (
            ((*tokens, token), total + value) for tokens, total in found for token, value in choices
        )
        found = heapq.nlargest(most, longer, key=lambda sentence: sentence[1])
    return [tokens for tokens, _ in found]
