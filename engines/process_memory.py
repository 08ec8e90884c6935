"""How much memory processes take, as the kernel counts it. Knows no limits."""

import os
from pathlib import Path


def peak_resident_bytes(process: int | None = None) -> int:
    """The most memory that a process (this one, or a number) ever had resident, mapped files included; 0 once it is gone.

    Unlike getrusage's it forgets what ran before the program in the same process.
    """
    return _kib(process, "status", "VmHWM") * 1024


def proportional_bytes(process: int | None = None) -> int:
    """What a process takes now, pages that it shares with others counted in parts (PSS); 0 once it is gone.

    The kernel walks the process's page tables for it, which takes milliseconds per gigabyte.
    """
    return _kib(process, "smaps_rollup", "Pss") * 1024


def total_bytes() -> int:
    """What the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _kib(process: int | None, file: str, field: str) -> int:
    try:
        lines = Path(f"/proc/{process or 'self'}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
