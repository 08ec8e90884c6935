"""The protocols of what answers and scores. Know no implementation."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .chat import ChatMessage, Completion, Sampling
from .types import SoftTokens

Step = Callable[[], None]
"""A callback between the bounded steps of a long computation, to show that it goes on. An exception
that it raises ends the computation."""


def unwatched() -> None:
    """The step of a computation that nobody watches: it does nothing."""


class SentenceScorer(Protocol):
    """Scores sentences by how likely a language model finds them."""

    def __call__(
        self, sentences: Sequence[tuple[int, ...]], step: Step = unwatched, /
    ) -> Sequence[float]:
        """The natural log likelihood of each of `sentences`, given as spoken tokens. Raises
        AttuneError where they cannot be scored."""
        ...


class TextScorer(Protocol):
    """Scores texts by how likely a language model finds them."""

    def __call__(self, texts: Sequence[str], step: Step = unwatched, /) -> Sequence[float]:
        """The natural log likelihood of each of `texts`. Raises AttuneError where they cannot be
        scored."""
        ...


class ClientChat(Protocol):
    """Continues conversations that callers bring whole."""

    @property
    def knows_tools(self) -> bool:
        """Whether tools are described to the model."""

    def complete(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        tools: Sequence[Mapping[str, Any]] = (),
        step: Step = unwatched,
        told: Completion | None = None,
        *,
        must_call: bool = False,
    ) -> Generator[str, None, None]:
        """Stream the reply to `messages` as pieces of text, and tell about it in `told`. The reply
        may call `tools`, and has to if it `must_call`.

        `step` is called before each bounded step of the work; an exception that it raises ends the
        reply, as closing the iterator does. Raises TooLongError where the messages do not fit, and
        AttuneError where the decode fails.
        """


class LanguageModel(Protocol):
    """One conversation with a language model: it takes the user's words and streams a reply."""

    def reply(
        self,
        words: str | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
        provisional: bool = False,
    ) -> Iterator[str]:
        """Stream the reply to `words` as pieces of text, at most `max_tokens` tokens.

        `step` is called before each bounded step of the work. An exception that it raises ends the
        reply, as closing the iterator does; the turn, as far as it was decoded, stays in the
        conversation. A `provisional` reply makes no room for itself, so that nothing of the
        conversation is lost if it is withdrawn. Raises AttuneError where the words do not fit, or
        do not without making room, or the decode fails.
        """

    @property
    def client_chat(self) -> ClientChat:
        """What continues the conversations of others. It is closed with the language model. Raises
        AttuneError where there is no memory for it."""

    def withdraw(self) -> None:
        """Forget the last turn, as if it had never been. Does nothing where it was forgotten
        already."""

    def suspend(self) -> object:
        """What `resume` needs to go on with this conversation later, after others."""

    def resume(self, suspended: object, step: Step = unwatched) -> None:
        """Go on with a conversation that `suspend` of this object gave, with its last turns at
        least. Raises AttuneError where the decode fails, and what `step` raises; no turn is left
        then."""

    def reset(self, facts: str = "") -> None:
        """Forget the conversation and keep the system prompt, which ends with `facts` from now on:
        what is true now, such as the date. Raises AttuneError, and changes nothing, where they do
        not fit."""

    def set_adapter(self, adapter: Path | None) -> None:
        """Let speech, and nothing else, pass through `adapter` from now on; the conversation is
        forgotten.

        Raises AttuneError, and changes nothing, where the adapter does not fit the model.
        """
