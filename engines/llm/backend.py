"""Starts llama.cpp once per process and sends its log to Python's. Knows no model."""

import ctypes
import logging
from functools import cache

import llama_cpp.llama_cpp as llama

_log = logging.getLogger("llama.cpp")


def _forward(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    # llama.cpp's chatter about a model belongs at debug level, whatever level it gave itself.
    _log.debug(text.decode(errors="replace").rstrip())


_CALLBACK = llama.llama_log_callback(_forward)
"""Kept here, or it would be collected while llama.cpp still calls it."""


@cache
def quiet_backend() -> None:
    """Initialise the backend; further calls do nothing."""
    llama.llama_log_set(_CALLBACK, ctypes.c_void_p(0))
    llama.llama_backend_init()
