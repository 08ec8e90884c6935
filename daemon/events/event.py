"""The base of every event, and its form on the control socket."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """Something that happened, or an answer to a command.

    Each kind has a field `event` with its name on the control socket. A client ignores fields that
    it does not know: client and daemon may be of different releases.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    def message(self) -> dict[str, Any]:
        """Return the event as a JSON object, the form that the socket and `--json` have."""
        return self.model_dump(mode="json", by_alias=True)


class EventPart(BaseModel):
    """A part of an event; fields that a client does not know are ignored in it, too."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")


def is_empty(value: object) -> bool:
    """Return whether a field with this value is left out of the message: None and "" are."""
    return value is None or value == ""
