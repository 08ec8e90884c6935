"""Memory: gives back what was freed, and tells its shortage from other errors, in whatever words that comes.

glibc serves blocks below a threshold from its heap, raises that threshold to 32 MiB as larger blocks are freed, and can only give
back the heap's end: half a gigabyte stays behind after a pass through a model of a billion weights.
"""

import ctypes
import gc
import re

import torch

_M_MMAP_THRESHOLD = -3
_THRESHOLD_BYTES = 3 * 2**19
"""Above what is dequantized at a time, which would be mapped anew thousands of times a step; below a layer's activations."""


_SHORTAGES = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|bad_alloc|alloc_failed|cudaErrorMemoryAllocation|NvMap error 12"
    r"|NVML_SUCCESS == r",
    re.IGNORECASE,
)
"""What torch, its allocators and libraries say. The last is an assertion that Tegra's builds raise in place of an error
(pytorch issue 185240); NvMap's, with L4T 36.4.7, comes for large blocks (llama.cpp issue 23732)."""


def is_shortage(error: BaseException) -> bool:
    """Whether `error`, or what it was raised from, says that memory could not be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = isinstance(error, RuntimeError | OSError) and _SHORTAGES.search(str(error)) is not None
    return said or (error.__cause__ is not None and is_shortage(error.__cause__))


def drop_caches() -> None:
    """Free what nobody uses: Python's circles, and blocks that torch keeps for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def give_back_freed_memory() -> bool:
    """Let blocks of 1.5 MiB or more go back to the system when they are freed. Whether this C library can be told so."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES))
