"""Freed memory goes back to the system: measured in a process of its own, where glibc has not been
told anything yet."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import torch
from engines.device.memory import give_back_freed_memory

def resident_kb():
    [line] = [line for line in open("/proc/self/status") if line.startswith("RssAnon")]
    return int(line.split()[1])

told = give_back_freed_memory() if sys.argv[1] == "told" else None
before = resident_kb()
kept = []
for number in range(60):  # a small block that stays above each large one that goes
    large = torch.ones(2 * 2**20)
    kept.append(torch.ones(20_000))
    del large
    large = torch.ones(5 * 2**20)
    del large
print(told, resident_kb() - before)
"""


def grown_kb(way: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, way], capture_output=True, text=True, check=True
    )
    told, grown = done.stdout.split()
    assert told == ("True" if way == "told" else "None")
    return int(grown)


@pytest.mark.slow
def test_what_is_freed_goes_back() -> None:
    assert grown_kb("told") < 20_000 < grown_kb("untold")
