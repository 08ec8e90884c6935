"""What comes through a connection: lines, and open descriptors with them (SCM_RIGHTS). Knows no
command."""

import os
import socket

_READ_BYTES = 65_536
MAX_DESCRIPTORS = 4
"""That one request may bring; no command takes more than one."""


class Incoming:
    """The lines of a connection and the descriptors that came with each; `release` closes those."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        self.lost = False
        """Whether some descriptors of the line did not come over: too many, or this process has too
        many open."""

    def readline(self, limit: int) -> bytes:
        """A line with its end, or `limit` bytes of it; what is left where the other side has ended,
        b"" after that.

        Raises OSError, TimeoutError where nothing comes in time.
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
        """Those that came with the line that was read last, or with one before it that `release`
        did not follow."""
        return tuple(self._descriptors)

    def release(self) -> None:
        """Close the descriptors of the line."""
        handed, self._descriptors, self.lost = self._descriptors, [], False
        for descriptor in handed:
            os.close(descriptor)
