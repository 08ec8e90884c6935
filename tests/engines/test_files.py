"""Files are there whole or not at all, whatever ends the process that writes them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.files import write_beside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_put_in_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"old")
    with write_beside(path) as beside:
        beside.write_bytes(b"new")
        assert beside.parent == tmp_path
        assert beside.suffix == ".onnx", "some libraries go by it"
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["weights.onnx"]


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")

    def write_half() -> None:
        with write_beside(path) as beside:
            beside.write_bytes(b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["weights"]


def test_what_was_never_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_beside(tmp_path / "weights"):
        pass
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from engines.files import write_beside
with write_beside(Path(sys.argv[1])) as beside:
    beside.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert len(names(tmp_path)) == 1
    alive = tmp_path / f".partial-{os.getppid()}-weights"
    alive.write_bytes(b"another process is writing this")
    with write_beside(path) as beside:
        beside.write_bytes(b"whole")
    assert names(tmp_path) == [alive.name, "weights"]
