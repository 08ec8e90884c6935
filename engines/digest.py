"""The sha256 of a file, remembered for as long as the file is left alone. Knows nothing of what is in it."""

import hashlib
import stat
import time
from functools import lru_cache
from pathlib import Path

_SETTLED_NS = 2_000_000_000


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a regular file. Raises OSError where it cannot be read.

    Remembered by inode, size and change time, but only once the file has been left alone for two seconds: a second change
    within one tick of the file system's clock would not show.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(0, "not a regular file", str(path))
    if time.time_ns() - about.st_ctime_ns < _SETTLED_NS:
        return _hash(path)
    return _remembered(path, about.st_ino, about.st_size, about.st_ctime_ns)


@lru_cache(maxsize=256)
def _remembered(path: Path, _inode: int, _size_bytes: int, _changed_ns: int) -> str:
    return _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
