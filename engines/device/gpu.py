"""Finds an NVIDIA GPU that can be used, by asking the driver itself. Knows no library that runs on
it.

The driver is always asked first: without one, TensorRT's runtime returns an object that crashes the
process when it is used.
"""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import AttuneError

_DRIVER = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _INTEGRATED = 75, 76, 18
"""The numbers of three device attributes in the driver's interface."""
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    name: str
    compute_capability: str
    """The compute capability, such as 8.7 for an Orin."""
    driver: str
    """The latest CUDA version that the driver runs, such as 13.2."""
    integrated: bool
    """Whether the GPU shares its memory with the processor, as every Jetson's does."""


def find_gpu() -> Gpu:
    """The first GPU. Raises AttuneError with the reason where there is none that can be used."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        raise AttuneError(f"there is no NVIDIA driver ({_DRIVER} is missing)") from None
    count, device, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _ask(driver.cuInit(0), "starting it")
    _ask(driver.cuDeviceGetCount(ctypes.byref(count)), "counting devices")
    if count.value < 1:
        raise AttuneError("the NVIDIA driver knows of no GPU")
    _ask(driver.cuDeviceGet(ctypes.byref(device), 0), "opening the first device")
    _ask(driver.cuDeviceGetName(name, _NAME_BYTES, device), "asking its name")
    _ask(driver.cuDriverGetVersion(ctypes.byref(version)), "asking its version")
    major, minor, integrated = (
        _attribute(driver, device, number)
        for number in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _INTEGRATED)
    )
    return Gpu(
        name=name.value.decode("utf-8", "replace"),
        compute_capability=f"{major}.{minor}",
        driver=f"{version.value // 1000}.{version.value % 1000 // 10}",
        integrated=bool(integrated),
    )


def has_gpu() -> bool:
    """Whether there is a GPU that can be used."""
    try:
        find_gpu()
    except AttuneError:
        return False
    return True


def l4t_release(root: Path = Path("/")) -> str:
    """The release of a Jetson's Linux, such as 36.4.3; empty on other machines. `root` is the root
    of the file system."""
    try:
        first = (root / "etc" / "nv_tegra_release").read_text().splitlines()[0]
    except (OSError, IndexError):
        return ""
    found = re.search(r"R(\d+).*REVISION: ([\d.]+)", first)
    return f"{found[1]}.{found[2]}" if found else ""


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    _ask(
        driver.cuDeviceGetAttribute(ctypes.byref(value), number, device),
        f"asking its attribute {number}",
    )
    return value.value


def _ask(code: int, doing: str) -> None:
    if code != 0:
        raise AttuneError(
            f"the NVIDIA driver cannot be used: {doing} failed with CUDA error {code}"
        )
