"""The memory of processes, as the kernel counts it, and how freed memory goes back to the system.
Knows no limits.

glibc serves blocks below a threshold from its heap, raises that threshold to 32 MiB as larger
blocks are freed, and can only give back the heap's end: half a gigabyte stays behind after a pass
through a model of a billion weights.
"""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path


def peak_resident_bytes(process: int | None = None) -> int:
    """The peak resident memory of a process (None for this one), mapped files included; 0 once it
    is gone.

    Unlike getrusage's figure, it excludes what ran before the program in the same process.
    """
    return _kib(process, "status", "VmHWM") * 1024


def proportional_bytes(process: int | None = None) -> int:
    """The memory of a process (None for this one) now, in which a page that several processes share
    counts in shares (PSS); 0 once it is gone.

    The kernel walks the process's page tables for it, which takes milliseconds per gigabyte.
    """
    return _kib(process, "smaps_rollup", "Pss") * 1024


def total_bytes() -> int:
    """The memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Taken:
    """The memory of a process at one moment, in bytes."""

    private: int
    """Pages that no other process has."""
    resident: int
    """All its pages; those that it shares with others are counted whole."""


def taken(process: int) -> Taken:
    """The memory of `process`, as the kernel counts it; zeros once the process is gone."""
    found = _fields(process, "smaps_rollup")
    private = found.get("Private_Clean", 0) + found.get("Private_Dirty", 0)
    return Taken(private * 1024, found.get("Rss", 0) * 1024)


def _kib(process: int | None, file: str, field: str) -> int:
    return _fields(process, file).get(field, 0)


def _fields(process: int | None, file: str) -> dict[str, int]:
    """The fields in kB of a file below /proc/PROCESS; empty once the process is gone."""
    try:
        lines = Path(f"/proc/{process or 'self'}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) for words in pairs}


_M_MMAP_THRESHOLD = -3
_THRESHOLD_BYTES = 3 * 2**19
"""The size from which blocks are mapped: larger than what is dequantized at a time, which would be
mapped anew thousands of times a step, and smaller than a layer's activations."""


def give_back_freed_memory() -> bool:
    """Have blocks of 1.5 MiB or more go back to the system when they are freed. Returns whether
    this C library can do so."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES))


def trim() -> None:
    """Give back the free memory between smaller blocks now, where this C library can."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
