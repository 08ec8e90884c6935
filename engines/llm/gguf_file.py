"""Reads the metadata of a GGUF file, and maps its tensors into memory. Knows the container, not the
model.

ggml's own parser reads the file (in 10 ms, where a parser in Python takes seconds for a vocabulary
of 49,152 strings).
"""

import ctypes
import math
import mmap
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from llama_cpp import _ggml
from numpy.typing import NDArray

from ..errors import AttuneError


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
_tensor_name = _function("gguf_get_tensor_name", _S, _P, _I64)
_tensor_sizes = _function("gguf_get_tensor_ne", ctypes.POINTER(_I64), _P, _I64)
_value_count = _function("gguf_get_n_kv", _I64, _P)
_value_name = _function("gguf_get_key", _S, _P, _I64)
_value_type = _function("gguf_get_kv_type", ctypes.c_int, _P, _I64)
_VALUES: dict[int, Callable[..., Any]] = {
    int(kind): _function(f"gguf_get_val_{name}", result, _P, _I64)
    for kind, name, result in (
        (gguf.GGUFValueType.UINT8, "u8", ctypes.c_uint8),
        (gguf.GGUFValueType.INT8, "i8", ctypes.c_int8),
        (gguf.GGUFValueType.UINT16, "u16", ctypes.c_uint16),
        (gguf.GGUFValueType.INT16, "i16", ctypes.c_int16),
        (gguf.GGUFValueType.UINT32, "u32", ctypes.c_uint32),
        (gguf.GGUFValueType.INT32, "i32", ctypes.c_int32),
        (gguf.GGUFValueType.FLOAT32, "f32", ctypes.c_float),
        (gguf.GGUFValueType.BOOL, "bool", ctypes.c_bool),
        (gguf.GGUFValueType.STRING, "str", _S),
        (gguf.GGUFValueType.UINT64, "u64", ctypes.c_uint64),
        (gguf.GGUFValueType.INT64, "i64", ctypes.c_int64),
        (gguf.GGUFValueType.FLOAT64, "f64", ctypes.c_double),
    )
}


@dataclass(frozen=True)
class MappedTensor:
    """A matrix, quantized or not, whose rows stay in the file until they are read; a vector is one
    row."""

    data: NDArray[np.uint8]
    """[rows, bytes per row], memory-mapped."""
    kind: gguf.GGMLQuantizationType

    def rows(self, indices: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """The dequantized rows at `indices`: [len(indices), width] float32."""
        blocks = np.ascontiguousarray(self.data[indices])
        if not len(blocks):  # which gguf cannot reshape
            return np.zeros(gguf.quant_shape_from_byte_shape(blocks.shape, self.kind), np.float32)
        return gguf.quants.dequantize(blocks, self.kind).astype(np.float32, copy=False)


def map_tensor(path: Path, name: str, rows: int) -> MappedTensor:
    """Map the matrix `name` of `rows` rows. Raises AttuneError where the file is damaged or has no
    such tensor."""
    with _opened(path) as context:
        index = _find(context, name.encode())
        if index < 0:
            raise AttuneError(f"{path} has no tensor {name}")
        return _mapped(path, context, index, rows)


def map_tensors(path: Path) -> dict[str, MappedTensor]:
    """Map every tensor, by name. Raises AttuneError where the file is damaged."""
    with _opened(path) as context:
        found = {}
        for index in range(_tensor_count(context)):
            # a pointer to four sizes
            _, *others = _tensor_sizes(context, index)[:4]  # type: ignore[index]
            name: bytes = _tensor_name(context, index)  # type: ignore[assignment]
            found[name.decode()] = _mapped(path, context, index, math.prod(others))
        return found


def metadata(path: Path) -> dict[str, Any]:
    """The metadata of the file, by name: numbers, flags and texts, without its lists.

    Raises AttuneError where it is no GGUF file.
    """
    with _opened(path) as context:
        found = {}
        for index in range(_value_count(context)):
            if read := _VALUES.get(_value_type(context, index)):
                name: bytes = _value_name(context, index)  # type: ignore[assignment]
                value = read(context, index)
                found[name.decode()] = (
                    value.decode(errors="replace") if isinstance(value, bytes) else value
                )
        return found


def parameters(path: Path) -> int:
    """The number of weights of the model in the file. Raises AttuneError where it cannot be
    read."""
    with _opened(path) as context:
        count = 0
        for index in range(_tensor_count(context)):
            count += math.prod(_tensor_sizes(context, index)[:4])  # type: ignore[index]
        return count


def _mapped(path: Path, context: int, index: int, rows: int) -> MappedTensor:
    offset = _data_offset(context) + _tensor_offset(context, index)
    size_bytes = _tensor_size(context, index)
    kind = gguf.GGMLQuantizationType(_tensor_type(context, index))
    if offset + size_bytes > path.stat().st_size:
        raise AttuneError(f"{path} is truncated; run `attune models verify`")
    if rows < 1 or size_bytes % rows:
        name: bytes = _tensor_name(context, index)  # type: ignore[assignment]
        raise AttuneError(
            f"the tensor {name.decode()} of {path} is not of {rows} rows; run `attune models"
            " verify`"
        )
    data = np.frombuffer(_file_in_memory(path), np.uint8, size_bytes, offset)
    return MappedTensor(data.reshape(rows, size_bytes // rows), kind)


_in_memory: "weakref.WeakValueDictionary[tuple[int, ...], mmap.mmap]" = (
    weakref.WeakValueDictionary()
)
"""The files from which something is still mapped, by device, inode, size and time."""


def _file_in_memory(path: Path) -> mmap.mmap:
    """The file, mapped once for all that ask for it: the kernel counts a page for each mapping that
    it is read through."""
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        which = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        if (mapped := _in_memory.get(which)) is None:
            mapped = _in_memory[which] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return mapped


def kind_of(path: Path, name: str) -> gguf.GGMLQuantizationType:
    """The type of the tensor `name`. Raises AttuneError where the file is damaged or has no such
    tensor."""
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
    """The type of most of the file's bytes. Raises AttuneError where it is no GGUF file or has no
    tensors."""
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
