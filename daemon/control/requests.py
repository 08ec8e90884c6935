"""What can be asked of a running daemon: one checked request for each command of the control
socket."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from engines.errors import AttuneError
from engines.generations.folder import MAX_NUMBER
from engines.schema import Frozen, first_problem

from ..store.store import MAX_LABEL_CHARACTERS
from .row_stream import MAX_NAME_CHARACTERS

_MAX_TEXT_CHARACTERS = 8000
_MAX_ID = 2**63 - 1
"""In SQLite."""


class Request(Frozen):
    """What all requests share."""

    descriptors: tuple[int, ...] = ()
    """Open files that came with it; the control socket closes them when it is answered."""

    @model_validator(mode="after")
    def _has_no_nul(self) -> Self:
        """Neither a text nor the name of a file holds one."""
        if any("\0" in str(value) for _, value in self):
            raise ValueError("a NUL character is part of no text and of no name")
        return self


class GetStatus(Request):
    command: Literal["status"] = "status"


class GetMetrics(Request):
    command: Literal["metrics"] = "metrics"


class Reload(Request):
    """Read the settings again, and open what was built since; who asks meanwhile waits."""

    command: Literal["reload"] = "reload"


class Ask(Request):
    """`text` or the recording that is handed over, which messages call `audio`, answered through
    `route` or the one in use."""

    command: Literal["ask"] = "ask"
    text: str | None = Field(None, min_length=1, max_length=_MAX_TEXT_CHARACTERS)
    audio: str | None = Field(None, max_length=MAX_NAME_CHARACTERS)
    route: str | None = None


class Listen(Request):
    """The recording that is handed over, which messages call `audio`, played through the capture
    path; `speed` 0 does not wait for real time."""

    command: Literal["listen"] = "listen"
    audio: str = Field(max_length=MAX_NAME_CHARACTERS)
    speed: float = Field(0.0, ge=0, le=1000)
    route: str | None = None


class Follow(Request):
    command: Literal["events"] = "events"


class Adapt(Request):
    """Start a round now and follow it, follow the one that runs, cancel it, or say what one would
    take."""

    command: Literal["adapt"] = "adapt"
    action: Literal["start", "cancel", "plan"] = "start"


class Correct(Request):
    """Say what was said in turn `turn`, or in the last that was spoken."""

    command: Literal["correct"] = "correct"
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)
    turn: int | None = Field(None, ge=0, le=_MAX_ID)


class Enroll(Request):
    """Take up what comes through the socket that is handed over: rows, each with its open
    recording. With `replace` their texts take the place of those that the recordings were labelled
    with before."""

    command: Literal["enroll"] = "enroll"
    replace: bool = False


class Explain(Request):
    """How the last round ended, and what speaks for and against the generation that it wrote, or
    for generation `number`."""

    command: Literal["why"] = "why"
    number: int | None = Field(None, ge=0, le=MAX_NUMBER)


class MoveGeneration(Request):
    """Move the pointer. What there is can be read from the disk."""

    command: Literal["generations"] = "generations"
    action: Literal["promote", "rollback"]
    number: int | None = Field(None, ge=0, le=MAX_NUMBER)


_AnyRequest = Annotated[
    GetStatus
    | GetMetrics
    | Reload
    | Ask
    | Listen
    | Follow
    | Adapt
    | Correct
    | Enroll
    | Explain
    | MoveGeneration,
    Field(discriminator="command"),
]
_REQUESTS: TypeAdapter[_AnyRequest] = TypeAdapter(_AnyRequest)


def read_request(message: dict[str, Any]) -> Request:
    """The request that a message of a client holds. Raises AttuneError where it is malformed."""
    try:
        return _REQUESTS.validate_python(message)
    except ValidationError as error:
        where, what = first_problem(error)
        told = f"{where or 'the request'}: {what}"
        raise AttuneError(f"{told}; `attune --help` lists the commands") from error
