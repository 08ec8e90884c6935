"""What answers, whichever implementation it is. Knows none of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from .types import SoftTokens

Step = Callable[[], None]
"""Called between the bounded steps of a long computation, to show that it goes on. What it raises
ends the computation."""


def unwatched() -> None:
    """The step of a computation that nobody watches."""


class SentenceScorer(Protocol):
    """Judges sentences as a language model does."""

    def __call__(
        self, sentences: Sequence[tuple[int, ...]], step: Step = unwatched, /
    ) -> Sequence[float]:
        """Sentences, as spoken tokens, to their natural log likelihoods. Raises AttuneError where
        they cannot be judged."""
        ...


class LanguageModel(Protocol):
    """One conversation: the user's words in, a reply out."""

    def reply(
        self, words: str | SoftTokens, max_tokens: int, step: Step = unwatched
    ) -> Iterator[str]:
        """Stream the reply to `words` as pieces of text, at most `max_tokens` tokens.

        `step` is called before each bounded step of the work; what it raises ends the reply, as
        closing the iterator does: the turn, as far as it was decoded, stays in the conversation.
        Raises AttuneError where the words do not fit or the decode fails.
        """

    def reset(self) -> None:
        """Forget the conversation, keep the system prompt."""

    def set_adapter(self, adapter: Path | None) -> None:
        """Make `adapter` the one that speech, and nothing else, passes through; the conversation is
        forgotten.

        Raises AttuneError, and changes nothing, where it does not fit the model.
        """
