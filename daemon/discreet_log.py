"""Formats the log so that a failure tells where it was and not what was said."""

import logging
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType

from engines.errors import AttuneError

_TELL_ALL = (AttuneError, OSError)
"""The errors whose messages are written for the log, or name files. Any other may quote what it
failed at: the words of a turn, or the value of a field."""

logger = logging.getLogger(__name__)

ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class DiscreetFormatter(logging.Formatter):
    """Formats tracebacks without the messages of their errors, unless the log is at debug level,
    where it may have transcripts."""

    def formatException(self, ei: ExceptionInfo) -> str:
        """The traceback of an error, and those of the errors that led to it, first to last."""
        error = ei[1]
        if error is None or logging.getLogger().isEnabledFor(logging.DEBUG):
            return super().formatException(ei)
        parts = [
            "Traceback (most recent call last):\n"
            + "".join(traceback.format_tb(one.__traceback__))
            + discreet(one)
            for one in reversed(list(_with_causes(error)))
        ]
        return "\n\nThis led to another error:\n\n".join(parts)


def discreet(error: BaseException) -> str:
    """The name of an error, with its message where that quotes nobody."""
    if isinstance(error, _TELL_ALL):
        return f"{type(error).__name__}: {error}"
    return f"{type(error).__name__} (--verbose shows its message)"


def log_uncaught(left: threading.ExceptHookArgs) -> None:
    """Log the defect that ended a thread: what Python does instead writes its message."""
    name = "" if left.thread is None else left.thread.name
    error = left.exc_value
    logger.critical("the thread %s ended by a defect", name, exc_info=error)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
