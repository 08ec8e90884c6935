"""Tells a shortage of memory from other errors, in whatever words it is reported."""

import gc
import re

import torch

_SHORTAGES = re.compile(
    r"out of memory|can't allocate memory|cannot allocate"
    r" memory|bad_alloc|alloc_failed|cudaErrorMemoryAllocation|NvMap error 12"
    r"|NVML_SUCCESS == r",
    re.IGNORECASE,
)
"""The messages of torch, its allocators and libraries. The last is an assertion that Tegra's builds
raise in place of an error (pytorch issue 185240); NvMap's, with L4T 36.4.7, comes for large blocks
(llama.cpp issue 23732)."""


def is_shortage(error: BaseException) -> bool:
    """Whether `error`, or its cause, says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = isinstance(error, RuntimeError | OSError) and _SHORTAGES.search(str(error)) is not None
    return said or (error.__cause__ is not None and is_shortage(error.__cause__))


def drop_caches() -> None:
    """Free memory that nobody uses: Python's reference cycles, and blocks that torch keeps for
    later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
