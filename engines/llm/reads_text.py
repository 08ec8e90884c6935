"""A language model that reads what was heard as text, whatever route heard it: the soft tokens are
rows of another language model's embedding table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..interfaces import ClientChat, LanguageModel, Step, unwatched
from ..types import SoftTokens


@dataclass(frozen=True)
class ReadsText:
    """`language_model`, which is given the words of soft tokens in their place."""

    language_model: LanguageModel
    words_of: Callable[[str | SoftTokens], str]

    def reply(
        self,
        words: str | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
        provisional: bool = False,
    ) -> Iterator[str]:
        """Stream the reply to the text of `words`; see `LanguageModel.reply`."""
        return self.language_model.reply(self.words_of(words), max_tokens, step, provisional)

    @property
    def client_chat(self) -> ClientChat:
        """What continues the conversations of others; see `LanguageModel.client_chat`."""
        return self.language_model.client_chat

    def withdraw(self) -> None:
        """Forget the last turn, as if it had never been."""
        self.language_model.withdraw()

    def suspend(self) -> object:
        """See `LanguageModel.suspend`."""
        return self.language_model.suspend()

    def resume(self, suspended: object, step: Step = unwatched) -> None:
        """See `LanguageModel.resume`."""
        self.language_model.resume(suspended, step)

    def reset(self, facts: str = "") -> None:
        """Forget the conversation; see `LanguageModel.reset`."""
        self.language_model.reset(facts)

    def set_adapter(self, adapter: Path | None) -> None:
        """Forget the conversation. No adapter is used: it was made for soft tokens, and for another
        language model."""
        self.language_model.set_adapter(None)
