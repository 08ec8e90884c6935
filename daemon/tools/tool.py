"""What a tool is, and a call of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_DESCRIPTION_CHARACTERS = 300
_MOST_SAID_CHARACTERS = 200


@dataclass(frozen=True)
class Tool:
    """A tool of an MCP server."""

    server: str
    """The name of the server in the file of servers."""
    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON schema of its arguments."""
    title: str = ""
    """Its name for people; empty if it has none."""
    asks_first: bool = True
    """Whether the user is asked before it is called."""

    @property
    def for_people(self) -> str:
        """Its name in words."""
        return self.title or self.name.replace("_", " ").replace("-", " ").strip()

    def described(self) -> dict[str, Any]:
        """Return the tool as a function in OpenAI's form, which chat templates take."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description[:MOST_DESCRIPTION_CHARACTERS],
                "parameters": dict(self.schema),
            },
        }


@dataclass(frozen=True)
class Call:
    """A tool, and what it is called with."""

    tool: Tool
    arguments: Mapping[str, Any]

    @property
    def for_people(self) -> str:
        """The call in words, such as `add event: title dentist, day Tuesday`."""
        given = ", ".join(
            f"{name.replace('_', ' ')} {_said(value)}" for name, value in self.arguments.items()
        )
        whole = f"{self.tool.for_people}: {given}" if given else self.tool.for_people
        return whole[:_MOST_SAID_CHARACTERS]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " and ".join(_said(one) for one in value)
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_said(one)}" for name, one in value.items())
    return " ".join(str(value).split())
