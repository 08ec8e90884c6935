"""Making the n-best list: what the passes offer, and which of it the language model is asked
about."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.alignment.nbest import ProjectorPasses, n_best_list, repeats, said_once
from engines.alignment.projector import OnnxProjector
from engines.alignment.rescoring import Feature
from engines.alignment.vocabulary_head import VocabularyHead
from engines.interfaces import Step, unwatched
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32, Units

SCALE = 20.0
FRAMES = np.zeros((9, 4), np.float32)


@given(st.lists(st.integers(0, 3)))
def test_what_is_said_once_repeats_nothing_and_loses_no_word(sentence: list[int]) -> None:
    once = said_once(sentence)
    assert not repeats(once)
    assert repeats(sentence) == (len(once) < len(sentence))
    assert set(once) == set(sentence)
    assert once[:1] == tuple(sentence[:1])
    assert once[-1:] == tuple(sentence[-1:])


class Stuttering:
    """A projector that hears `said` in as many units; asked for another number of units it is sure
    of nothing."""

    def __init__(self, said: Float32, tokens: int) -> None:
        self.said = said
        self.pronunciations = np.zeros((tokens, 3), np.uint8)

    def project(self, _frames: Float32, _first_pass: Float32, asked: int = 0) -> Units:
        count = asked or len(self.said)
        rows = (
            self.said
            if count == len(self.said)
            else np.resize(self.said.mean(axis=0), (count, self.said.shape[1]))
        )
        vectors = SCALE * rows / np.linalg.norm(rows, axis=1, keepdims=True)
        mute = np.zeros((4, 5), np.float32)
        return Units(
            np.concatenate([vectors, np.zeros((count, 4), np.float32)], axis=1),
            float(len(self.said)),
            mute,
        )


def test_a_word_that_made_two_units_is_offered_once_and_as_probable(llm_path: Path) -> None:
    vocabulary = Vocabulary(llm_path)
    once = vocabulary.tokenize(" open the window in the balcony")
    twice = (*once[:4], once[3], *once[4:])
    projector = cast(OnnxProjector, Stuttering(vocabulary.rows(twice), vocabulary.size))
    head = VocabularyHead(
        vocabulary, sorted(set(once)), np.zeros((len(set(once)), 4), np.float32), 1
    )
    passes = ProjectorPasses(projector, head, FRAMES)
    assert passes.alone.tokens == twice
    offered = passes.sentences((), 0)
    assert tuple(once) in offered
    plain, stuttered, other = passes.features([tuple(once), twice, tuple(once[:-1])], (), 0.0)
    assert plain[:2] == pytest.approx(stuttered[:2])
    assert plain[0] > other[0] + 10
    # Nobody heard it twice: only its own units count.
    alone, _ = passes.features([tuple(once), tuple(once[:-1])], (), 0.0)
    assert alone[0] < plain[0] - 5


@pytest.mark.parametrize(
    ("words", "offered"), [(1, False), (4, True), (7, True), (8, True), (12, False), (40, False)]
)
def test_a_first_pass_that_is_far_from_what_was_heard_is_left_out(
    llm_path: Path, words: int, offered: bool
) -> None:
    vocabulary = Vocabulary(llm_path)
    heard = vocabulary.tokenize(" open the window in the bath room")
    other = vocabulary.tokenize(" balcony")[0]
    projector = cast(OnnxProjector, Stuttering(vocabulary.rows(heard), vocabulary.size))
    head = VocabularyHead(
        vocabulary, sorted(set(heard)), np.zeros((len(set(heard)), 4), np.float32), 1
    )
    first_pass = (other,) * words
    assert (
        first_pass in ProjectorPasses(projector, head, FRAMES).sentences(first_pass, 0)
    ) == offered


class Listed:
    """Passes that offer these sentences, the units a little more content with the last one."""

    quantity = 6.0

    def __init__(self, offered: Sequence[tuple[int, ...]]) -> None:
        self.offered = list(offered)

    def sentences(self, _first_pass: tuple[int, ...], _spread: int) -> list[tuple[int, ...]]:
        return self.offered

    def features(
        self,
        sentences: Sequence[tuple[int, ...]],
        _first_pass: tuple[int, ...],
        _probability: float,
    ) -> NDArray[np.float64]:
        found = np.zeros((len(sentences), len(Feature)))
        found[:, Feature.TOKENS] = [len(sentence) for sentence in sentences]
        found[-1, 0] = 0.1
        return found


def test_longer_sentences_do_not_keep_a_shorter_one_from_the_language_model() -> None:
    """A token speaks for a sentence by what the language model charges for one: before it is asked,
    neither counts."""
    short = (7,) * 5
    passes = cast(ProjectorPasses, Listed([*((number, *range(6)) for number in range(40)), short]))
    asked: list[tuple[int, ...]] = []

    def scorer(sentences: Sequence[tuple[int, ...]], _step: Step = unwatched, /) -> list[float]:
        asked.extend(sentences)
        return [-5.0 * len(sentence) for sentence in sentences]

    weights = (1.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 1.2)
    found = n_best_list(passes, (), 0.0, scorer, weights)
    assert short in asked
    assert found.sentences[int(found.probabilities(weights).argmax())] == short
