"""Which engines compute on the GPU: only those that did, with these packages, since the machine
started."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines.device.runtimes import (
    LANGUAGE_MODEL,
    TRANSCRIBER,
    Trial,
    keep_runtimes,
    opening,
    read_runtimes,
    runtimes_path,
)

TRIALS = [
    Trial(claim=LANGUAGE_MODEL, held=True),
    Trial(claim=TRANSCRIBER, held=False, note="built without CUDA"),
]


def test_what_was_tried_is_kept(tmp_path: Path) -> None:
    path = runtimes_path(tmp_path)
    assert read_runtimes(path) is None
    kept = keep_runtimes(path, TRIALS)
    assert read_runtimes(path) == kept
    assert (kept.on_gpu(LANGUAGE_MODEL), kept.on_gpu(TRANSCRIBER), kept.on_gpu("nothing")) == (
        True,
        False,
        False,
    )
    assert (kept.why(TRANSCRIBER), kept.why("nothing")) == (
        "built without CUDA",
        "it was not tried yet",
    )


@pytest.mark.parametrize(
    "change",
    [{"boot": "another"}, {"versions": {"llama-cpp-python": "0", "ctranslate2": "0"}}, {"odd": 1}],
)
def test_after_a_restart_or_another_package_nothing_is_known(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = runtimes_path(tmp_path)
    keep_runtimes(path, TRIALS)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert read_runtimes(path) is None


OPEN = """
import os, sys
from pathlib import Path
from engines.device.runtimes import opening
with opening(Path(sys.argv[1])) as found:
    if sys.argv[2] == "dies" and found.any_on_gpu:
        os.kill(os.getpid(), 9)
print(found.any_on_gpu)
"""


def open_engines(path: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OPEN, str(path), how],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_engines_that_end_the_daemon_are_not_opened_on_the_gpu_again(tmp_path: Path) -> None:
    path = runtimes_path(tmp_path)
    keep_runtimes(path, TRIALS)
    assert open_engines(path, "survives").stdout == "True\n"
    assert open_engines(path, "dies").returncode == -9
    assert open_engines(path, "dies").stdout == "False\n"
    after = read_runtimes(path)
    assert after is not None
    assert "ended there" in after.why(LANGUAGE_MODEL)
    assert after.why(TRANSCRIBER) == "built without CUDA"


def test_a_mark_of_an_earlier_start_of_the_machine_blames_nobody(tmp_path: Path) -> None:
    """Power may have been cut in just that moment."""
    path = runtimes_path(tmp_path)
    keep_runtimes(path, TRIALS)
    mark = path.with_suffix(".opening")
    mark.write_text("another-start 1 1")
    with opening(path) as found:
        assert found is not None
        assert found.any_on_gpu
        assert mark.is_file()
    assert not mark.exists()
