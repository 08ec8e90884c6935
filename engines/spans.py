"""How long the parts of a turn take: what computes a part says its name, and who wants to know
keeps a record."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

SpanName = Literal["encode", "read", "rescore", "prefill"]
"""Speech to frames; frames to a first reading; the comparison of more readings where that leaves
doubt; and the user's words into the language model."""


@dataclass(frozen=True)
class Span:
    """One part of a turn, in seconds of `time.perf_counter`. One span may contain another."""

    name: SpanName
    began_at: float
    ended_at: float


_record: ContextVar[list[Span] | None] = ContextVar("spans", default=None)


@contextmanager
def recording() -> Iterator[list[Span]]:
    """A list to which all spans are added that end in this thread as long as the context lasts."""
    spans: list[Span] = []
    token = _record.set(spans)
    try:
        yield spans
    finally:
        _record.reset(token)


@contextmanager
def span(name: SpanName) -> Iterator[None]:
    """Add a span of this name to the record of this thread, where one is kept."""
    record = _record.get()
    if record is None:
        yield
        return
    began_at = time.perf_counter()
    try:
        yield
    finally:
        record.append(Span(name, began_at, time.perf_counter()))
