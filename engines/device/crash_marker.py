"""A mark on the disk while something is done that some libraries do not survive, by which the next
process knows what killed the one before. Knows no library.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Another with every start of the machine."""
    return _BOOT.read_text().strip()


@contextmanager
def marked(mark: Path) -> Iterator[None]:
    """Leave `mark` there until this ends."""
    mark.write_text(_myself())
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def was_fatal(mark: Path) -> bool:
    """Whether a process that made `mark` is gone; takes it away then.

    One from before the machine started says nothing: power may have been cut just then.
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
    """When a process began, in ticks since the machine did; empty for none. Its number alone may be
    somebody else's by now."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
