"""The base of every event, and its form on the control socket."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """Something that happened, or an answer to a command.

    Each kind has a field `event` with the name that the control socket has for it. A field that a
    client does not know is passed over: client and daemon may be of different releases.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    def message(self) -> dict[str, Any]:
        """The event as a JSON object: the form that the socket and `--json` have."""
        return self.model_dump(mode="json", by_alias=True)


def is_empty(value: object) -> bool:
    """For fields that are left out of the message while there is nothing to say in them."""
    return value is None or value == ""
