"""Handles a command's standard input, output and error in any encoding, and when they are closed,
full, or no longer read."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from engines.errors import AttuneError


class _Output(io.TextIOWrapper):
    """Standard output that remembers its own OSError, to tell it from an OSError of other files."""

    problem: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.problem = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.problem = error
            raise


def tolerate_other_encodings() -> None:
    """Let the standard streams replace characters that they cannot show or decode, instead of
    failing."""
    for stream in (sys.stdin, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if type(sys.stdout) is io.TextIOWrapper:  # a test puts something of its own there
        out = sys.stdout
        sys.stdout = _Output(out.buffer, out.encoding, "replace", line_buffering=out.line_buffering)


@contextmanager
def written_out() -> Iterator[None]:
    """Flush standard output when the block ends.

    Raises AttuneError if it cannot be written. Exits with 1 if the program that read it has ended,
    as `head` does.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if not isinstance(sys.stdout, _Output) or sys.stdout.problem is not error:
            raise
        _drop(sys.stdout)
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise AttuneError(
            f"standard output cannot be written ({error.strerror}); free its disk, or send it"
            " somewhere else"
        ) from error


def complain(line: str) -> None:
    """Write a line to standard error, or drop it if that cannot be written."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
        return
    _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Discard what is left in `stream`. Otherwise the interpreter tries to write it again as it
    ends, and reports an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
