"""A mark on the disk that stands while a library is used which may crash its process: from it the
next process knows what killed the one before. Knows no library."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """An identifier that changes with every start of the machine."""
    return _BOOT.read_text().strip()


@contextmanager
def marked(mark: Path) -> Iterator[None]:
    """Keep the file `mark` on the disk until the block ends."""
    mark.write_text(_myself())
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def was_fatal(mark: Path) -> bool:
    """Whether the process that made `mark` is gone, in which case the mark is removed.

    A mark from before the machine started is removed, too, but says nothing: power may have been
    cut.
    """
    try:
        boot, process, began = mark.read_text().split()
    except (OSError, ValueError):
        return False
    if boot == boot_id() and _began(int(process)) == began:
        return False
    mark.unlink(missing_ok=True)
    return boot == boot_id()


def _myself() -> str:
    return f"{boot_id()} {os.getpid()} {_began(os.getpid())}"


def _began(process: int) -> str:
    """The start of a process, in ticks since the machine started; empty where there is no such
    process. The number of a process alone may belong to another by now."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
