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


def peak_resident_bytes() -> int:
    """The most memory that this process ever had resident, mapped files included. Unlike getrusage's it forgets what ran before
    this program in the same process."""
    status = Path("/proc/self/status").read_text()
    [peak] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def peak_allocated_bytes() -> int | None:
    """The most memory that tensors ever took on a GPU; None without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
