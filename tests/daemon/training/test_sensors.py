"""The sensors: a small file tree stands in for /proc and /sys."""

import os
import shutil
from pathlib import Path

import pytest

from daemon.training.sensors import read_board
from engines.errors import AttuneError
from tests.support.places import SUPPORT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(
        tmp_path,
        "proc/meminfo",
        "MemTotal:       7990272 kB\nMemFree:  100 kB\nMemAvailable:    5000000 kB\n",
    )
    write(tmp_path, "proc/loadavg", "3.00 2.00 1.00 2/345 6789\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_reads_every_sensor(root: Path, tmp_path: Path) -> None:
    write(
        root,
        "proc/pressure/memory",
        "some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.00 avg60=0 avg300=0"
        " total=1\n",
    )
    write(root, "sys/class/thermal/thermal_zone0/temp", "45500\n")
    write(root, "sys/class/thermal/thermal_zone1/temp", "61250\n")
    board = read_board(tmp_path, root)
    assert board.available_bytes == 5_000_000 * 1024
    assert board.load_per_core == 3.0 / (os.cpu_count() or 1)
    assert board.memory_pressure_percent == 12.5
    assert board.temperature_celsius == 61.25
    assert not board.on_battery
    assert board.disk_free_bytes > 0


def test_a_board_without_pressure_heat_or_battery_sensors(root: Path, tmp_path: Path) -> None:
    (root / "proc/loadavg").unlink()
    board = read_board(tmp_path, root)
    assert (
        board.memory_pressure_percent,
        board.temperature_celsius,
        board.on_battery,
        board.load_per_core,
    ) == (
        None,
        None,
        False,
        0.0,
    )


@pytest.mark.parametrize("text", ["-256000\n", "2147483647\n", "\n", "N/A\n"])
def test_a_sensor_that_is_switched_off_is_left_out(root: Path, tmp_path: Path, text: str) -> None:
    write(root, "sys/class/thermal/thermal_zone0/temp", text)
    write(root, "sys/class/thermal/thermal_zone1/temp", "50000\n")
    (root / "sys/class/thermal/thermal_zone2/temp").mkdir(parents=True)  # refuses to be read
    assert read_board(tmp_path, root).temperature_celsius == 50.0


@pytest.mark.parametrize(
    ("battery", "mains", "expected"),
    [
        ("Discharging", None, True),
        ("Discharging", "0", True),
        ("Discharging", "1", False),
        ("Charging", "1", False),
        ("Full", None, False),
    ],
)
def test_on_battery(
    root: Path, tmp_path: Path, battery: str, mains: str | None, expected: bool
) -> None:
    write(root, "sys/class/power_supply/BAT0/type", "Battery\n")
    write(root, "sys/class/power_supply/BAT0/status", battery + "\n")
    if mains is not None:
        write(root, "sys/class/power_supply/AC/type", "Mains\n")
        write(root, "sys/class/power_supply/AC/online", mains + "\n")
    assert read_board(tmp_path, root).on_battery is expected


def test_the_battery_of_a_mouse_does_not_count(root: Path, tmp_path: Path) -> None:
    for name, text in {"type": "Battery", "status": "Discharging", "scope": "Device"}.items():
        write(root, f"sys/class/power_supply/hidpp_battery_0/{name}", text)
    assert not read_board(tmp_path, root).on_battery


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable: many kB\n"])
def test_unknown_memory_is_an_error(root: Path, tmp_path: Path, text: str) -> None:
    write(root, "proc/meminfo", text)
    with pytest.raises(AttuneError, match="does not say how much memory is available"):
        read_board(tmp_path, root)


def test_a_missing_state_folder_is_an_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="check `state_dir`"):
        read_board(tmp_path / "nowhere", root)


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """A copy of the tree of an Orin Nano, made by hand from what is documented: see its README."""
    return Path(shutil.copytree(SUPPORT / "orin_nano", tmp_path / "orin"))


def test_an_orin_nano_tells_its_gpus_load_and_its_power_mode(orin: Path, tmp_path: Path) -> None:
    board = read_board(tmp_path, orin)
    assert board.available_bytes == 5_214_316 * 1024
    assert board.gpu_load_percent == 37.4
    assert board.temperature_celsius == 51.562
    assert board.power_mode == "2"
    assert board.memory_pressure_percent == 0.0
    assert not board.on_battery


@pytest.mark.parametrize("text", ["", "N/A\n", "-1\n", "99999\n"])
def test_a_gpu_that_does_not_say_is_left_out(orin: Path, tmp_path: Path, text: str) -> None:
    write(orin, "sys/class/devfreq/17000000.gpu/device/load", text)
    write(orin, "var/lib/nvpmodel/status", text)
    board = read_board(tmp_path, orin)
    assert (board.gpu_load_percent, board.power_mode) == (None, None)


def test_reads_this_machine(tmp_path: Path) -> None:
    assert read_board(tmp_path).available_bytes > 0
