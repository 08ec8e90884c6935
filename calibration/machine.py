"""One line about the machine that measured."""

import os
import platform
from pathlib import Path

import torch

from engines.device.memory import total_bytes


def describe_machine() -> str:
    """Processor, cores, memory, GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{name}, {os.cpu_count()} cores, {total_bytes() / 2**30:.0f} GiB, {gpu}"


def peak_allocated_bytes() -> int | None:
    """The most memory that tensors ever took on a GPU; None without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
