"""Values that come from files and other processes: checked, frozen, and nothing unknown in them."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_JSON_BYTES = 1 << 20
"""No file that is read at once is larger."""


class Frozen(BaseModel):
    """The base of these values. A field whose stored name differs has that name as its alias, which
    is then written, too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True
    )


Kind = TypeVar("Kind", bound=BaseModel)


def read_json(path: Path, kind: type[Kind]) -> Kind | None:
    """What the file holds; None where there is no such file, or none of this `kind`, or one of more
    than MAX_JSON_BYTES: whoever keeps what can be had again makes it anew."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where the first of several things is wrong, as names with dots between, empty for the whole;
    and what is wrong there."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), str(first["msg"])
