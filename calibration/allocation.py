"""Gives memory back: keeps the C library from hoarding what training through a language model frees at every layer.

glibc serves blocks below a threshold from its heap, raises that threshold to 32 MiB as larger blocks are freed, and can only give
back the heap's end: half a gigabyte stays behind after a pass through a model of a billion weights. Knows no tensors.
"""

import ctypes

_M_MMAP_THRESHOLD = -3
_THRESHOLD_BYTES = 3 * 2**19
"""Above what is dequantized at a time, which would be mapped anew thousands of times a step; below a layer's activations."""


def give_back_freed_memory() -> bool:
    """Let blocks of 1.5 MiB or more go back to the system when they are freed. Whether this C library can be told so."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES))
