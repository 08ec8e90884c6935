"""Reads what the idle policy needs to know of the machine from /proc and /sys. Knows no limits and
decides nothing.

The sensors that only a Jetson has (its GPU's load, its power mode) are read where its documentation
puts them; this was not tried on a board.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from engines.errors import AttuneError

from .idle import Board

_PLAUSIBLE_CELSIUS = (-40.0, 150.0)
"""A sensor that is switched off reports such values as -256000 millidegrees or 2^31."""
_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gp10b")
"""Names of GPUs in the device tree: two for Orin, and those of earlier boards."""

_log = logging.getLogger(__name__)


def read_board(state_dir: Path, root: Path = Path("/")) -> Board:
    """Read every sensor once; `root` is the folder that contains `proc`, `sys` and `var`.

    A sensor that is absent or unreadable gives None (or load 0, or mains power). Raises AttuneError
    if the available memory or the free space cannot be read: no round may run without them.
    """
    return Board(
        available_bytes=_available_bytes(root / "proc/meminfo"),
        disk_free_bytes=_disk_free_bytes(state_dir),
        load_per_core=_load(root / "proc/loadavg") / (os.cpu_count() or 1),
        memory_pressure_percent=_pressure_percent(root / "proc/pressure/memory"),
        temperature_celsius=max(_temperatures(root / "sys/class/thermal"), default=None),
        gpu_load_percent=max(_gpu_loads(root / "sys/class/devfreq"), default=None),
        power_mode=_power_mode(root / "var/lib/nvpmodel/status"),
        on_battery=_on_battery(root / "sys/class/power_supply"),
    )


def _available_bytes(path: Path) -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(path) or "", re.MULTILINE)
    if found is None:
        raise AttuneError(
            f"{path} does not say how much memory is available; training needs a Linux kernel of"
            " 3.14 or newer"
        )
    return int(found[1]) * 1024


def _disk_free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise AttuneError(
            f"the free space of {folder} cannot be read ({error.strerror}); check `state_dir`"
        ) from None


def _load(path: Path) -> float:
    found = re.match(r"(\d+(\.\d+)?)", _text(path) or "")
    return float(found[1]) if found else 0.0


def _pressure_percent(path: Path) -> float | None:
    """Read `some avg10` of pressure stall information; None on kernels built without it."""
    found = re.search(r"^some avg10=(\d+(\.\d+)?)", _text(path) or "", re.MULTILINE)
    return float(found[1]) if found else None


def _temperatures(folder: Path) -> Iterator[float]:
    coldest, hottest = _PLAUSIBLE_CELSIUS
    for zone in sorted(folder.glob("thermal_zone*")):
        text = (_text(zone / "temp") or "").strip()
        if re.fullmatch(r"-?\d+", text) and coldest <= int(text) / 1000 <= hottest:
            yield int(text) / 1000


def _gpu_loads(folder: Path) -> Iterator[float]:
    """Yield the loads of integrated GPUs, in percent. The kernel driver tells them in thousandths;
    other devices that change their frequency tell no load."""
    for device in sorted(folder.glob("*")):
        text = _word(device / "device/load")
        if _word(device / "device/of_node/name").rstrip("\0") in _GPU_NAMES and re.fullmatch(
            r"\d{1,4}", text
        ):
            yield int(text) / 10


def _power_mode(path: Path) -> str | None:
    found = re.fullmatch(r"pmode:(\d+)", _word(path))
    return None if found is None else str(int(found[1]))


def _on_battery(folder: Path) -> bool:
    """Return whether a battery is discharging and no mains supply is online. A board without either
    has mains power."""
    supplies = [(_word(supply / "type"), supply) for supply in sorted(folder.glob("*"))]
    if any(
        kind in ("Mains", "USB") and _word(supply / "online") == "1" for kind, supply in supplies
    ):
        return False
    # The battery of a mouse or a headset has the scope "Device" and says nothing about the board.
    return any(
        kind == "Battery"
        and _word(supply / "scope") != "Device"
        and _word(supply / "status") == "Discharging"
        for kind, supply in supplies
    )


def _word(path: Path) -> str:
    return (_text(path) or "").strip()


def _text(path: Path) -> str | None:
    """Read a small file of the kernel; None if it is absent, or cannot be read, as with a sleeping
    sensor."""
    try:
        with path.open("rb") as file:
            return file.read(65_536).decode("ascii", "replace")
    except OSError as error:
        _log.debug("%s cannot be read: %s", path, error.strerror)
        return None
