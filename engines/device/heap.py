"""Has the C library give freed memory back to the system. Knows nothing of who frees it.

glibc serves blocks below a threshold from its heap, raises that threshold to 32 MiB as larger blocks are freed, and can only give
back the heap's end: half a gigabyte stays behind after a pass through a model of a billion weights.
"""

import ctypes

_M_MMAP_THRESHOLD = -3
_THRESHOLD_BYTES = 3 * 2**19
"""Above what is dequantized at a time, which would be mapped anew thousands of times a step; below a layer's activations."""


def give_back_freed_memory() -> bool:
    """Let blocks of 1.5 MiB or more go back to the system when they are freed. Whether this C library can be told so."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES))


def trim() -> None:
    """Give back now what lies free between smaller blocks, where this C library can."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
