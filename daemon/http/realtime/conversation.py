"""The messages of one session, in their order. Knows no sound and no model."""

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from engines.chat import ChatMessage

from ..errors import RefusedError

MOST_ITEMS, MOST_CHARACTERS = 200, 200_000


@dataclass
class Entry:
    """One message."""

    id: str
    role: Literal["user", "assistant", "system"]
    text: str
    spoken: bool = False
    """Whether it was, or is, said aloud."""
    status: Literal["completed", "incomplete", "in_progress"] = "completed"
    clauses: list[tuple[str, float]] = field(default_factory=list)
    """What was said of it, clause by clause, and for how many seconds each sounds."""

    def item(self) -> dict[str, Any]:
        """The message as the protocol has it."""
        if self.role == "assistant":
            kind, key = ("output_audio", "transcript") if self.spoken else ("output_text", "text")
        else:
            kind, key = ("input_audio", "transcript") if self.spoken else ("input_text", "text")
        shown = self.status != "in_progress" or self.role != "assistant"
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": [{"type": kind, key: self.text}] if shown else [],
        }

    def truncate(self, seconds: float) -> None:
        """Keep what was heard of it in its first `seconds`, in whole clauses."""
        heard: list[tuple[str, float]] = []
        for clause, length in self.clauses:
            if seconds <= 0:
                break
            heard.append((clause, length))
            seconds -= length
        self.clauses = heard
        self.text = " ".join(clause for clause, _ in heard)


class Conversation:
    """The messages of one session. The oldest are forgotten once there are too many, or they are
    too long together."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> str | None:
        """Add a message; returns the id of the one before."""
        if any(one.id == entry.id for one in self._entries):
            raise RefusedError(400, f"there is an item {entry.id} already", None, "item.id")
        before = self._entries[-1].id if self._entries else None
        self._entries = [*self._entries, entry][-MOST_ITEMS:]
        while sum(len(one.text) for one in self._entries) > MOST_CHARACTERS:
            self._entries.pop(0)
        return before

    def find(self, name: str) -> Entry:
        """The message with that id. Raises RefusedError where there is none."""
        for entry in self._entries:
            if entry.id == name:
                return entry
        raise RefusedError(404, f"there is no item {name!r}", "item_not_found", "item_id")

    def remove(self, name: str) -> None:
        """Forget one message. Raises RefusedError where there is none."""
        self._entries.remove(self.find(name))

    def messages(self, instructions: str) -> list[ChatMessage]:
        """The conversation as the language model reads it."""
        said = [ChatMessage(one.role, one.text) for one in self._entries if one.text.strip()]
        return [ChatMessage("system", instructions), *said]


def new_id(kind: str) -> str:
    """An id that nothing else has."""
    return f"{kind}_{uuid.uuid4().hex[:24]}"
