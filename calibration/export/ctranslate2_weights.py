"""Reads the weights of a Whisper model from a CTranslate2 folder. Knows the file format, not the
model's arithmetic.

The format is CTranslate2's binary version 6: a version, the spec's name and revision, then one
record per variable.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.errors import AttuneError

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_BINARY_VERSION = 6


def read_ctranslate2(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read every variable of a CTranslate2 `model.bin`.

    Returns arrays by name, in the file's own shapes and dtypes (tiny.en: float16). Raises
    AttuneError where the file is missing, truncated or of another version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AttuneError(
            f"cannot read the Whisper weights {path}: {error.strerror}; run `attune models fetch`"
        ) from None
    try:
        return _parse(memoryview(data))
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise AttuneError(
            f"{path} is not a CTranslate2 model of binary version {_BINARY_VERSION} ({error}); run"
            " `attune models verify`"
        ) from None


def _parse(data: memoryview) -> dict[str, NDArray[np.generic]]:
    offset = 0

    def take(fmt: str) -> tuple[int, ...]:
        nonlocal offset
        values = struct.unpack_from("<" + fmt, data, offset)
        offset += struct.calcsize("<" + fmt)
        return values

    def take_bytes(count: int) -> memoryview:
        nonlocal offset
        if offset + count > len(data):
            raise ValueError("the file ends early")
        offset += count
        return data[offset - count : offset]

    def take_string() -> str:
        (length,) = take("H")
        return bytes(take_bytes(length)).rstrip(b"\0").decode()

    (version,) = take("I")
    if version != _BINARY_VERSION:
        raise ValueError(f"version {version}")
    take_string()  # the spec's name
    take("I")  # the spec's revision
    (count,) = take("I")
    variables: dict[str, NDArray[np.generic]] = {}
    for _ in range(count):
        name = take_string()
        (rank,) = take("B")
        shape = take("I" * rank)
        dtype_code, size_bytes = take("BI")
        variables[name] = np.frombuffer(take_bytes(size_bytes), _DTYPES[dtype_code]).reshape(shape)
    return variables
