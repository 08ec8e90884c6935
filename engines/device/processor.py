"""The processor of this machine, by name."""

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")
"""The name of a board; Linux on ARM has no name of the processor."""


def processor_name() -> str:
    """The processor's name, or that of its board, and its number of cores."""
    return f"{_name()}, {os.cpu_count()} cores"


def _name() -> str:
    named = [
        line.partition(":")[2].strip()
        for line in _CPUINFO.read_text().splitlines()
        if line.startswith("model name")
    ]
    if named:
        return named[0]
    if _BOARD.is_file():
        return _BOARD.read_text().strip("\0 \n")
    return platform.processor() or platform.machine()
