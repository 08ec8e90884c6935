"""How a process that the daemon starts gets the keys: as a file in memory, on its standard input.
They are on no command line, in no environment and on no disk, and are there again after `exec`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .folders import packed_for, protect_as_packed

VARIABLE = "ATTUNE_KEYS_ON_STANDARD_INPUT"
_MOST_BYTES = 1 << 20


@contextmanager
def keys_for(path: Path) -> Iterator[int | None]:
    """A descriptor for the standard input of a process that is to read and write where `path` is;
    None where files are plain."""
    packed = packed_for(path)
    if packed is None:
        yield None
        return
    handle = os.memfd_create("keys", os.MFD_CLOEXEC)
    try:
        os.write(handle, packed)
        yield handle
    finally:
        os.close(handle)


def take_keys() -> None:
    """Protect files as the process that started this one does. Raises ValueError where what it gave
    are no keys, and OSError where it gave nothing."""
    if VARIABLE in os.environ:
        protect_as_packed(os.pread(0, _MOST_BYTES, 0))
