"""Copies of files in memory, to be changed and then opened by a library that wants a path. Knows
nothing of what is in them."""

import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import AttuneError


@dataclass(frozen=True)
class MemoryFile:
    """A file that no disk holds."""

    path: Path
    """Opens in this process alone."""
    content: mmap.mmap


@contextmanager
def copy_in_memory(path: Path, remedy: str) -> Iterator[MemoryFile]:
    """A copy of the file `path` in memory for as long as the context lasts: what is personal in it
    reaches no disk, and the copy is freed when the library has read it.

    Raises AttuneError, ending in `remedy`, where the file cannot be read or is empty.
    """
    handle = os.memfd_create(path.name)
    try:
        try:
            with path.open("rb") as file, open(handle, "wb", closefd=False) as copy:
                shutil.copyfileobj(file, copy)
            content = mmap.mmap(handle, 0)
        except OSError as error:
            raise AttuneError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
        except ValueError:
            raise AttuneError(f"{path} is empty; {remedy}") from None
        with content:
            yield MemoryFile(Path(f"/proc/self/fd/{handle}"), content)
    finally:
        os.close(handle)
