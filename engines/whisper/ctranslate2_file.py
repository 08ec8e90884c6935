"""Reads and replaces the weights of a Whisper model in CTranslate2's file `model.bin`. Knows the
file format, not the model's arithmetic.

The format is CTranslate2's binary version 6: a version, the spec's name and revision, then one
record per variable.
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import AttuneError
from .changed_files import copy_in_memory

Variables = dict[str, NDArray[np.generic]]
"""The variables of a model by their names, in the file's own shapes and dtypes."""

_Dtype = type[np.generic]
_DTYPES: dict[int, _Dtype] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
}
_BINARY_VERSION = 6
_REMEDY = "run `attune models fetch`"


@dataclass(frozen=True)
class _Record:
    """One variable, and the place of its values in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: _Dtype
    start: int
    size_bytes: int

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + self.size_bytes)

    @property
    def count(self) -> int:
        return self.size_bytes // np.dtype(self.dtype).itemsize


def read_ctranslate2(path: Path) -> Variables:
    """The variables of a CTranslate2 `model.bin` (tiny.en: float16), views of the mapped file: what
    is not looked at takes no memory.

    Raises AttuneError where the file is missing, truncated or of another version.
    """
    try:
        with path.open("rb") as file:
            data = mmap(file.fileno(), 0, access=ACCESS_READ)
    except OSError as error:
        raise AttuneError(
            f"cannot read the Whisper weights {path}: {error.strerror}; {_REMEDY}"
        ) from None
    except ValueError:
        raise AttuneError(f"{path} is empty; {_REMEDY}") from None
    return {
        one.name: np.frombuffer(data, one.dtype, one.count, one.start).reshape(one.shape)
        for one in _whole_records(path, data)
    }


@contextmanager
def with_variables(
    path: Path, changed: Iterable[tuple[str, NDArray[np.generic]]]
) -> Iterator[Path]:
    """A file in memory like the `model.bin` at `path`, for as long as the context lasts, with other
    values for the variables of `changed`, in the file's own shapes and dtypes.

    Raises AttuneError where the file cannot be read, or has no such variable of that shape.
    """
    with copy_in_memory(path, _REMEDY) as copy:
        found = {one.name: one for one in _whole_records(path, copy.content)}
        for name, values in changed:
            record = found.get(name)
            if record is None or record.shape != values.shape:
                raise AttuneError(
                    f"{path} has no variable {name} of the shape {values.shape}: the weights are"
                    " those of another model"
                )
            copy.content[record.place] = np.ascontiguousarray(values, record.dtype).tobytes()
        yield copy.path


def _whole_records(path: Path, data: mmap) -> list[_Record]:
    try:
        return list(_records(data))
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise AttuneError(
            f"{path} is not a CTranslate2 model of binary version {_BINARY_VERSION} ({error}); run"
            " `attune models verify`"
        ) from None


def _records(data: mmap) -> Iterator[_Record]:
    offset = 0

    def take(fmt: str) -> tuple[int, ...]:
        nonlocal offset
        values = struct.unpack_from("<" + fmt, data, offset)
        offset += struct.calcsize("<" + fmt)
        return values

    def skip(size_bytes: int) -> int:
        nonlocal offset
        if offset + size_bytes > len(data):
            raise ValueError("the file ends early")
        offset += size_bytes
        return offset - size_bytes

    def take_string() -> str:
        (length,) = take("H")
        start = skip(length)
        return data[start:offset].rstrip(b"\0").decode()

    (version,) = take("I")
    if version != _BINARY_VERSION:
        raise ValueError(f"version {version}")
    take_string()  # the spec's name
    take("I")  # the spec's revision
    (count,) = take("I")
    for _ in range(count):
        name = take_string()
        (rank,) = take("B")
        shape = take("I" * rank)
        dtype_code, size_bytes = take("BI")
        dtype = _DTYPES[dtype_code]
        if size_bytes != np.dtype(dtype).itemsize * int(np.prod(shape)):
            raise ValueError(f"{name} has {size_bytes} bytes")
        yield _Record(name, shape, dtype, skip(size_bytes), size_bytes)
