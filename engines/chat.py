"""What a caller brings who has a conversation continued, and what is told of the reply."""

from dataclasses import dataclass
from typing import Literal

from .errors import AttuneError

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class ChatMessage:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn."""

    max_tokens: int
    """The reply has at most so many, and at most as many as the context has room for."""
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """The likeliest tokens that together have this probability are drawn from."""
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Texts before which the reply ends."""
    grammar: str = ""
    """What the reply keeps to, in llama.cpp's notation; empty where it may be anything."""


@dataclass
class Completion:
    """What is told of a reply beside its text, while it is written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: Literal["stop", "length", ""] = ""
    """Why the reply ended; empty as long as it has not."""


class TooLongError(AttuneError):
    """The messages do not fit the context."""
