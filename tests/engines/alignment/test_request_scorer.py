"""What the language model finds likely as a request."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.alignment.request_scorer import RequestScorer
from engines.llm.model import LlamaModel
from engines.llm.sentence_scorer import LlamaSentenceScorer
from engines.llm.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def opened() -> list[str]:
    return []


@pytest.fixture(scope="module")
def score(llm_path: Path, opened: list[str]) -> Iterator[RequestScorer]:
    vocabulary = Vocabulary(llm_path)
    model = LlamaModel(llm_path)
    scorer = LlamaSentenceScorer(model, vocabulary, threads=2)

    def open_scorer() -> LlamaSentenceScorer:
        opened.append("opened")
        return scorer

    yield RequestScorer(vocabulary, open_scorer)
    scorer.close()
    model.close()
    vocabulary.close()


def test_it_is_opened_once_and_not_for_texts_without_words(
    score: RequestScorer, opened: list[str]
) -> None:
    assert score([]) == []
    assert score(["", "  "]) == [-math.inf, -math.inf]
    assert opened == []
    once = score(["Stop the music."])
    assert score(["Stop the music."]) == pytest.approx(once, abs=0.05)
    assert opened == ["opened"]


@pytest.mark.parametrize(
    ("meant", "misheard"),
    [
        ("Warn me when the oven is hot enough.", "Won me when the oven is hot enough."),
        ("Which bus gets me to the hospital?", "Which budgets me to the hospital?"),
        ("Turn on the light in the kitchen.", "Turn on the light in the chicken."),
    ],
)
def test_it_finds_what_was_meant_likelier(score: RequestScorer, meant: str, misheard: str) -> None:
    likely, nothing, unlikely = score([meant, " ", misheard])
    assert likely > unlikely + 1
    assert nothing == -math.inf
    assert likely < 0
