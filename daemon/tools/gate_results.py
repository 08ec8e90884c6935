"""Keeps on the disk how well language models choose tools, so that each is tried once."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.schema import Frozen, read_json

from .gate import LEAST_RIGHT_OF_100, cases

_NAME = "tool-gate.json"


class GateResult(Frozen):
    """How well a language model chooses tools."""

    model: str
    """Path of its file."""
    bytes: int
    changed_ns: int
    """When the file was written last, in nanoseconds of the Unix time."""
    knows_tools: bool
    """Whether its chat template has a place for tools; if not, nothing else was tried."""
    right: int
    of: int
    measured_at: float
    """In seconds of the Unix time."""

    @property
    def passed(self) -> bool:
        """Whether the language model may be given tools."""
        return self.of > 0 and 100 * self.right >= LEAST_RIGHT_OF_100 * self.of

    @property
    def for_people(self) -> str:
        """The result in words."""
        if not self.knows_tools:
            return "the language model was not trained for tools"
        enough = "" if self.passed else f", and {LEAST_RIGHT_OF_100} % are needed"
        return (
            f"the language model chooses the right tool in {self.right} of {self.of} cases{enough}"
        )


class _Kept(Frozen):
    cases: str
    """What the language models were tried on, as a hash."""
    results: tuple[GateResult, ...]


class GateResults:
    """The results of this device. Safe to use from several threads, and from several processes as
    long as one of them writes."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _NAME

    def of(self, model: Path) -> GateResult | None:
        """Return the result of the language model `model`; None if it was not tried, or its file
        has changed."""
        try:
            stamp = _stamp(model)
        except OSError:
            return None
        return next((one for one in self._read() if _same(one, stamp)), None)

    def keep(self, model: Path, *, knows_tools: bool, right: int, of: int, at: float) -> GateResult:
        """Keep a result. Raises AttuneError if it cannot be written."""
        try:
            stamp = _stamp(model)
            result = GateResult(
                **stamp, knows_tools=knows_tools, right=right, of=of, measured_at=at
            )
            others = tuple(one for one in self._read() if one.model != result.model)
            kept = _Kept(cases=_cases_hash(), results=(result, *others)[:100])
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._path, kept.model_dump_json().encode())
        except OSError as error:
            raise AttuneError(f"the result cannot be kept: {error.strerror}") from error
        return result

    def _read(self) -> tuple[GateResult, ...]:
        kept = read_json(self._path, _Kept)
        return kept.results if kept is not None and kept.cases == _cases_hash() else ()


def _stamp(model: Path) -> dict[str, str | int]:
    found = os.stat(model)
    return {"model": str(model), "bytes": found.st_size, "changed_ns": found.st_mtime_ns}


def _same(result: GateResult, stamp: Mapping[str, str | int]) -> bool:
    return all(getattr(result, name) == value for name, value in stamp.items())


def _cases_hash() -> str:
    return hashlib.sha256(repr(cases()).encode()).hexdigest()
