"""Scores written texts by how likely a language model finds them as a request. Knows no sound."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..interfaces import SentenceScorer, Step, unwatched
from ..llm.sentence_scorer import LlamaSentenceScorer
from ..llm.vocabulary import Vocabulary
from .text_normalisation import spoken_tokens
from .usual_requests import requests_before


@dataclass
class RequestScorer:
    """Scores texts after usual requests."""

    vocabulary: Vocabulary
    opened: Callable[[], LlamaSentenceScorer]
    """Returns the scorer of sentences, which the first call opens."""

    @cached_property
    def _score(self) -> SentenceScorer:
        return self.opened().after(requests_before((), self.vocabulary))

    def __call__(self, texts: Sequence[str], step: Step = unwatched, /) -> list[float]:
        """The natural log likelihood of each of `texts`; minus infinity for one without words.
        Raises AttuneError where they cannot be scored."""
        sentences = [tuple(spoken_tokens(text, self.vocabulary)) for text in texts]
        spoken = [sentence for sentence in sentences if sentence]
        found = dict(zip(spoken, self._score(spoken, step) if spoken else (), strict=True))
        return [found.get(sentence, -math.inf) for sentence in sentences]
