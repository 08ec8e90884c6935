"""Reads what comes through a connection: lines, and the open descriptors that come with them
(SCM_RIGHTS). Knows no command."""

import os
import socket

_READ_BYTES = 65_536
MAX_DESCRIPTORS = 4
"""Number of descriptors that one request may bring; no command takes more than one."""


class Incoming:
    """The lines of a connection and the descriptors that came with each; `release` closes those."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        self.lost = False
        """True if some descriptors of the line were lost: there were too many, or this process has
        too many open files."""

    def readline(self, limit: int) -> bytes:
        """Read a line with its end, or its first `limit` bytes. At the end of the stream, returns
        what is left, and b"" after that.

        Raises OSError, which is TimeoutError if nothing comes in time.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) < limit:
            searched = len(self._buffer)
            data, handed, flags, _ = socket.recv_fds(
                self._connection, _READ_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            self._descriptors += handed
            self.lost |= bool(flags & socket.MSG_CTRUNC)
            if len(self._descriptors) > MAX_DESCRIPTORS:
                self.release()
                self.lost = True
            if not data:
                end = len(self._buffer) - 1
                break
            self._buffer += data
        length = min(limit, end + 1 if end >= 0 else len(self._buffer))
        line = bytes(self._buffer[:length])
        del self._buffer[:length]
        return line

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that came with the lines that were read since the last `release`."""
        return tuple(self._descriptors)

    def release(self) -> None:
        """Close the descriptors that came since the last `release`."""
        handed, self._descriptors, self.lost = self._descriptors, [], False
        for descriptor in handed:
            os.close(descriptor)
