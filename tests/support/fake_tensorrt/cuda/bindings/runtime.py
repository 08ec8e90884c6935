"""The part of the CUDA runtime's bindings that Attune uses, in host memory. It knows what it gave,
and wants it back."""

import ctypes
import enum


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


_OK = (cudaError_t.cudaSuccess,)
_given: dict[int, ctypes.Array[ctypes.c_char]] = {}


def cudaMalloc(size: int) -> tuple[cudaError_t, int]:
    block = ctypes.create_string_buffer(size)
    _given[ctypes.addressof(block)] = block
    return cudaError_t.cudaSuccess, ctypes.addressof(block)


def cudaFree(address: int) -> tuple[cudaError_t]:
    return _OK if _given.pop(address, None) is not None else (cudaError_t.cudaErrorInvalidValue,)


def cudaMemcpyAsync(
    target: int, source: int, count: int, kind: cudaMemcpyKind, stream: int
) -> tuple[cudaError_t]:
    device = target if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else source
    if device not in _given or count > len(_given[device]):
        return (cudaError_t.cudaErrorInvalidValue,)
    ctypes.memmove(target, source, count)
    return _OK


def cudaMemGetInfo() -> tuple[cudaError_t, int, int]:
    taken = sum(map(len, _given.values()))
    return cudaError_t.cudaSuccess, (8 << 30) - taken, 8 << 30


def cudaStreamCreate() -> tuple[cudaError_t, int]:
    return cudaError_t.cudaSuccess, 1


def cudaStreamSynchronize(stream: int) -> tuple[cudaError_t]:
    return _OK


def cudaStreamDestroy(stream: int) -> tuple[cudaError_t]:
    return _OK
