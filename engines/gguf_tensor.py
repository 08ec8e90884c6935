"""Finds tensors in a GGUF file, and maps one into memory. Knows the container, not the model.

ggml's own parser does the walking (10 ms where a parser in Python takes seconds, for a vocabulary of 49,152 strings).
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from llama_cpp import _ggml
from numpy.typing import NDArray

from .errors import AttuneError


class _InitParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


def _function(name: str, result: object, *arguments: object) -> Callable[..., int]:
    function = getattr(_ggml.libggml, name)
    function.restype, function.argtypes = result, list(arguments)
    return function  # type: ignore[no-any-return]


_P, _S, _I64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
_open = _function("gguf_init_from_file", _P, _S, _InitParams)
_free = _function("gguf_free", None, _P)
_find = _function("gguf_find_tensor", _I64, _P, _S)
_data_offset = _function("gguf_get_data_offset", ctypes.c_size_t, _P)
_tensor_offset = _function("gguf_get_tensor_offset", ctypes.c_size_t, _P, _I64)
_tensor_size = _function("gguf_get_tensor_size", ctypes.c_size_t, _P, _I64)
_tensor_type = _function("gguf_get_tensor_type", ctypes.c_int, _P, _I64)
_tensor_count = _function("gguf_get_n_tensors", _I64, _P)


@dataclass(frozen=True)
class MappedTensor:
    """A quantized matrix whose rows stay in the file until they are read."""

    data: NDArray[np.uint8]
    """[rows, bytes per row], memory-mapped."""
    kind: gguf.GGMLQuantizationType

    def rows(self, indices: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Dequantized rows: [len(indices), width] float32."""
        blocks = np.ascontiguousarray(self.data[indices])
        if not len(blocks):  # which gguf cannot reshape
            return np.zeros(gguf.quant_shape_from_byte_shape(blocks.shape, self.kind), np.float32)
        return gguf.quants.dequantize(blocks, self.kind).astype(np.float32, copy=False)


def map_tensor(path: Path, name: str, rows: int) -> MappedTensor:
    """Map the matrix `name` of `rows` rows. Raises AttuneError where the file is damaged or has no such tensor."""
    with _opened(path) as context:
        index = _find(context, name.encode())
        if index < 0:
            raise AttuneError(f"{path} has no tensor {name}")
        offset = _data_offset(context) + _tensor_offset(context, index)
        size_bytes = _tensor_size(context, index)
        kind = gguf.GGMLQuantizationType(_tensor_type(context, index))
    if offset + size_bytes > path.stat().st_size:
        raise AttuneError(f"{path} is truncated; run `attune models verify`")
    if rows < 1 or size_bytes % rows:
        raise AttuneError(f"the tensor {name} of {path} is not of {rows} rows; run `attune models verify`")
    data = np.memmap(path, np.uint8, "r", offset, (rows, size_bytes // rows))
    return MappedTensor(data, kind)


def kind_of(path: Path, name: str) -> gguf.GGMLQuantizationType:
    """The type of the tensor `name`. Raises AttuneError where the file is damaged or has no such tensor."""
    with _opened(path) as context:
        index = _find(context, name.encode())
        if index < 0:
            raise AttuneError(f"{path} has no tensor {name}")
        return gguf.GGMLQuantizationType(_tensor_type(context, index))


def has_tensor(path: Path, name: str) -> bool:
    """Whether there is a tensor `name`. Raises AttuneError where the file is damaged."""
    with _opened(path) as context:
        return _find(context, name.encode()) >= 0


def main_kind(path: Path) -> gguf.GGMLQuantizationType:
    """The type that holds most of the file's bytes. Raises AttuneError where it is no GGUF file or holds nothing."""
    sizes_bytes: dict[int, int] = {}
    with _opened(path) as context:
        for index in range(_tensor_count(context)):
            kind = _tensor_type(context, index)
            sizes_bytes[kind] = sizes_bytes.get(kind, 0) + _tensor_size(context, index)
    if not sizes_bytes:
        raise AttuneError(f"{path} holds no tensors; run `attune models verify`")
    return gguf.GGMLQuantizationType(max(sizes_bytes, key=lambda kind: sizes_bytes[kind]))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    context = _open(os.fsencode(path), _InitParams(no_alloc=True, ctx=None))
    if not context:
        raise AttuneError(f"{path} is not a GGUF file; run `attune models verify`")
    try:
        yield context
    finally:
        _free(context)
