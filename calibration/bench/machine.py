"""One line about the machine that measured."""

import os
import platform
from pathlib import Path

import torch


def describe_machine() -> str:
    """Processor, cores, memory, GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{name}, {os.cpu_count()} cores, {memory_bytes / 2**30:.0f} GiB, {gpu}"
