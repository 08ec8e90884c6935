"""Carries the rows of an enrolment to the daemon, through a socket pair of which the client hands
over one end.

Each message is a row in JSON with the descriptor of its open recording beside it; the end of the
stream ends the enrolment.
"""

import os
import socket
from collections.abc import Generator

from pydantic import Field, ValidationError

from engines.errors import AttuneError
from engines.open_file import OpenFile
from engines.schema import Frozen, first_problem

from ..store.store import MAX_LABEL_CHARACTERS

MAX_NAME_CHARACTERS = 4096
_MAX_ROW_BYTES = 65_536
_SILENT_SECONDS = 60.0
"""Seconds after which a client that hands over no row counts as gone or stuck."""


class Row(Frozen):
    """The text of one open recording, and how messages call it."""

    number: int = Field(ge=1)
    """Number of the row, for messages."""
    name: str = Field(max_length=MAX_NAME_CHARACTERS)
    """Name of the recording, for messages."""
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)


def pair() -> tuple[socket.socket, socket.socket]:
    """Make a stream of rows. Returns both its ends: one to send on, one to hand over."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, theirs


def send(stream: socket.socket, row: Row, recording: OpenFile) -> None:
    """Send a row with its open recording. Raises OSError if the daemon no longer reads."""
    socket.send_fds(stream, [row.model_dump_json().encode()], [recording.fileno()])


def receive(
    descriptor: int, silent_seconds: float = _SILENT_SECONDS
) -> Generator[tuple[Row, int], None, None]:
    """Yield the rows that come through `descriptor`, each with the descriptor of its recording,
    which is closed before the next row. `descriptor` itself stays the caller's.

    Raises AttuneError if `descriptor` is not such a stream, if nothing comes for `silent_seconds`,
    or if a message is not a row.
    """
    try:
        stream = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise AttuneError(
            "the rows of an enrolment come through a socket; `attune enroll` hands one over"
        ) from error
    with stream:
        if (stream.family, stream.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            raise AttuneError(
                "the rows of an enrolment come through a socket of packets; `attune enroll` hands"
                " one over"
            )
        stream.settimeout(silent_seconds)
        while True:
            message, handed = _take(stream, silent_seconds)
            try:
                if not message:
                    return
                if len(handed) != 1:
                    raise AttuneError(
                        f"a row came with {len(handed)} open files; it must bring one recording"
                    )
                yield _checked(message), handed[0]
            finally:
                for one in handed:
                    os.close(one)


def _take(stream: socket.socket, silent_seconds: float) -> tuple[bytes, list[int]]:
    try:
        message, handed, flags, _ = socket.recv_fds(
            stream, _MAX_ROW_BYTES, 8, socket.MSG_CMSG_CLOEXEC
        )
    except TimeoutError as error:
        raise AttuneError(
            f"no row came for {silent_seconds:g} s; start the enrolment again"
        ) from error
    except OSError as error:
        raise AttuneError(
            f"the rows of the enrolment stopped coming: {error.strerror}; start it again"
        ) from error
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for one in handed:
            os.close(one)
        raise AttuneError(
            f"a row is longer than {_MAX_ROW_BYTES} bytes, or its file could not be handed over;"
            " enrol it again"
        )
    return message, list(handed)


def _checked(message: bytes) -> Row:
    try:
        return Row.model_validate_json(message)
    except ValidationError as error:
        told = " ".join(first_problem(error))
        raise AttuneError(
            f"a row of the enrolment is malformed ({told}); use `attune enroll`"
        ) from error
