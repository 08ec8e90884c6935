"""Files that survive a power cut: written beside their place, flushed and renamed. And the sha256
of files. Knows nothing of what is in them."""

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

_PARTIAL = ".partial-"
"""The beginning of the names of files that are being written; the process number of the writer
follows."""


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path` (mode 0600): a reader, or a process killed at any instant, sees the old
    file or the new one.

    Raises OSError where the disk is full or the folder cannot be written; the old file then stays
    as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            flush(file)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_folder(path.parent)


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """Have a library that wants a path write the file `path`: inside, it writes to the path that
    this yields; at the end, what it wrote is flushed and renamed to `path`.

    A reader, or a process killed at any instant, sees the old file or the new one. Where the inside
    raises, `path` stays as it was. One thread of a process writes `path` at a time; other processes
    may, too. Raises OSError where the disk is full or the folder cannot be written.
    """
    for left in path.parent.glob(f"{_PARTIAL}*-{path.name}"):
        writer = left.name.removeprefix(_PARTIAL).partition("-")[0]
        # Of a process that was killed while it wrote; this one may have its number, in a container.
        if writer == str(os.getpid()) or not Path("/proc", writer).is_dir():
            left.unlink(missing_ok=True)
    beside = path.with_name(f"{_PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def flush(file: IO[bytes]) -> None:
    """Bring what was written to `file` to the disk."""
    file.flush()
    os.fsync(file.fileno())


def point_atomically(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, replacing what it pointed to. `target` is kept as
    given, so a relative one stays relative."""
    folder = Path(tempfile.mkdtemp(prefix=f".{link.name}.", dir=link.parent))
    try:
        os.symlink(target, folder / link.name)
        os.replace(folder / link.name, link)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(folder / link.name)
        os.rmdir(folder)
    sync_folder(link.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder`: a rename survives a power cut only once its folder is
    flushed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(root: Path) -> None:
    """Flush the names in `root` and in every folder below it."""
    for folder in (root, *root.rglob("*/")):
        sync_folder(folder)


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[bool]:
    """Hold `lock` against other processes that use it, waiting for the one that holds it. Yields
    whether it had to wait. The kernel frees the lock of a process that is killed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            fcntl.flock(file, fcntl.LOCK_EX)
        yield waited


_SETTLED_NS = 2_000_000_000


def sha256_of(path: Path) -> str:
    """The sha256 of a regular file, in hexadecimal, remembered until the file changes. Raises
    OSError where it cannot be read."""
    return remembered(path, _hash)


def remembered(path: Path, compute: Callable[[Path], str]) -> str:
    """What `compute` makes of a regular file. Raises OSError where it cannot be read.

    The result is remembered by inode, size and change time, but only once the file has been left
    alone for two seconds: a second change within one tick of the file system's clock would not
    show.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(0, "not a regular file", str(path))
    if time.time_ns() - about.st_ctime_ns < _SETTLED_NS:
        return compute(path)
    return _remembered(path, compute, about.st_ino, about.st_size, about.st_ctime_ns)


@lru_cache(maxsize=256)
def _remembered(
    path: Path, compute: Callable[[Path], str], _inode: int, _size_bytes: int, _changed_ns: int
) -> str:
    return compute(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
