"""Values that come from files and other processes: checked, frozen, and without unknown fields."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_JSON_BYTES = 1 << 20
"""The size that a file may have which is read at once."""


class Frozen(BaseModel):
    """The base of these values. A field whose stored name differs has that name as its alias, which
    is then written, too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True
    )


Kind = TypeVar("Kind", bound=BaseModel)


def read_json(path: Path, kind: type[Kind]) -> Kind | None:
    """The value in the file, as `kind`; None where there is no such file, where it holds no `kind`,
    or where it is larger than MAX_JSON_BYTES. For values that can be made again."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The place of the first fault, as field names joined by dots (empty for the whole value), and
    what is wrong there."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), str(first["msg"])
