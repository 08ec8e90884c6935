"""Standard input, output and error of a command: in any encoding, closed, full, or left by whoever
reads."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from engines.errors import AttuneError


class _Output(io.TextIOWrapper):
    """Standard output that remembers why it failed, which an OSError does not tell."""

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
    """Put a replacement character where a stream cannot show a character, or where what is typed is
    in another encoding."""
    for stream in (sys.stdin, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if type(sys.stdout) is io.TextIOWrapper:  # a test puts something of its own there
        out = sys.stdout
        sys.stdout = _Output(out.buffer, out.encoding, "replace", line_buffering=out.line_buffering)


@contextmanager
def written_out() -> Iterator[None]:
    """Within, standard output is written to; after it, all of that is out.

    Raises AttuneError where it cannot be written, and leaves with 1 where whoever read it has left,
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
    """Write a line to standard error, as far as that goes."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
        return
    _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Lose what is left in `stream`, which the interpreter would try to write once more as it ends,
    and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
