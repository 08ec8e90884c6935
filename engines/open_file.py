"""Files that are open for reading, by path or as a descriptor that another process handed over.
Knows no sound.

A process that answers others must not open the paths that they name: it may not see their files, it
may see files that they may not, and a FIFO would block it for ever. So a client opens its file and
hands the descriptor over.
"""

import os
import stat
from pathlib import Path
from types import TracebackType

from .errors import AttuneError


class OpenFile:
    """A regular file that is open for reading.

    It is read at explicit positions: the offset of a descriptor is shared with the process that
    handed it over, and is neither used nor moved. Its size is the one at opening: a file that grows
    is read up to there.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        """Take over `descriptor`, which `close` closes; messages call it `name`.

        Raises AttuneError, with the descriptor closed, where it is no regular file.
        """
        self.name = name
        self._descriptor: int | None = descriptor
        try:
            found = os.fstat(descriptor)
            _check_regular(found, name)
        except BaseException:
            self.close()
            raise
        self.size_bytes = found.st_size

    @classmethod
    def of_descriptor(cls, descriptor: int, name: str) -> "OpenFile":
        """Open a duplicate of `descriptor`, which stays the caller's; messages call it `name`.
        Raises AttuneError where it cannot be duplicated or is no regular file."""
        try:
            own = os.dup(descriptor)
        except OSError as error:
            raise AttuneError(f"{name} cannot be read ({error.strerror}); open it anew") from error
        return cls(own, name)

    def read_at(self, position: int, length: int) -> bytes:
        """Read up to `length` bytes from `position` on; fewer are returned only at the end.

        Raises OSError where they cannot be read, and AttuneError where the file became shorter.
        """
        if self._descriptor is None:
            raise AttuneError(f"{self.name} was closed while it was read; give it again")
        wanted = max(0, min(length, self.size_bytes - position))
        parts: list[bytes] = []
        while wanted > 0:
            part = os.pread(self._descriptor, wanted, position)
            if not part:
                raise AttuneError(
                    f"{self.name} became shorter while it was read; give it again once nothing"
                    " writes to it"
                )
            parts.append(part)
            wanted -= len(part)
            position += len(part)
        return b"".join(parts)

    def fileno(self) -> int:
        """The number of the descriptor, to hand it on. Raises ValueError where the file is
        closed."""
        if self._descriptor is None:
            raise ValueError(f"{self.name} is closed")
        return self._descriptor

    def close(self) -> None:
        """Close the descriptor. Further calls do nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> "OpenFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_file(path: Path) -> OpenFile:
    """Open `path` for reading, without blocking on anything.

    Raises AttuneError where it is missing, unreadable, or no regular file: a FIFO, a device, a
    socket or a folder.
    """
    name = str(path)
    try:
        _check_regular(path.stat(), name)  # before it is opened: opening a device may do something
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AttuneError(f"{name} does not exist; give the path of a file") from error
    except OSError as error:
        raise AttuneError(
            f"{name} cannot be read ({error.strerror}); check its permissions"
        ) from error
    except ValueError as error:  # a NUL, or half of a surrogate pair
        raise AttuneError(
            f"{name!r} cannot be the name of a file ({error}); give the path of a file"
        ) from error
    return OpenFile(descriptor, name)


def _check_regular(found: os.stat_result, name: str) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(found.st_mode), "a device")
    raise AttuneError(f"{name} is not a file but {kind}; give the path of a file")
