"""TensorRT plans, built, tried and kept by a child process on a stand-in for TensorRT, CUDA and the
driver."""

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engines.device.gpu import l4t_release
from engines.files import one_at_a_time
from engines.jobs.engine_jobs import PlanJob
from engines.jobs.messages import Progress
from engines.whisper.encoder import MAX_COLUMNS, encoder_mel
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.plan_cache import (
    PlanCard,
    PlanKey,
    Quarantine,
    keep_plan,
    list_plans,
    plan_path,
    quarantine,
    read_plan,
    read_quarantine,
)
from engines.whisper.probe_speech import probe_speech
from tests.support.fake_child import eventually
from tests.support.gpu_board import Board, board, driver

__all__ = ["board", "driver"]


def left(board: Board) -> list[str]:
    found = (
        (path.suffix or path.name for path in board.plans.iterdir()) if board.plans.is_dir() else ()
    )
    return sorted(name for name in found if name != ".lock")


def test_a_plan_is_built_tried_and_kept(board: Board) -> None:
    code, last = board.run()
    assert (code, last.stage) == (0, "done")
    assert left(board) == [".cache", ".json", ".plan", ".tried"]
    [card] = list_plans(board.plans)
    assert isinstance(card, PlanCard)
    assert card.key.compute_capability == "8.7"
    assert card.key.tensorrt == "10.3.0"
    assert card.cosine > 0.9999
    assert card.milliseconds > 0
    assert read_plan(board.plans, card.key) == card
    assert board.run(tries_only=True)[0] == 0


def test_two_processes_do_not_build_the_same_plan(board: Board) -> None:
    """As when the machine's first boot has it built, and so does the daemon."""
    job = PlanJob(graph=board.graph, precision="float32", plans=board.plans)
    path = board.folder / "job.json"
    path.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "engines", str(path)]
    with one_at_a_time(board.plans / ".lock"):
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=board.environment())
            for _ in range(2)
        ]
        assert eventually(lambda: {process.pid for process in both} <= waiting_for_a_lock())
    said = [process.communicate(timeout=600)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    stages = sorted([Progress.model_validate_json(line).stage for line in lines] for lines in said)
    assert stages == [["build", "try", "done"], ["done"]]


def waiting_for_a_lock() -> set[int]:
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {int(fields[5]) for fields in lines if fields[1] == "->"}


def test_its_frames_are_those_of_the_graph(board: Board, encoder_path: Path) -> None:
    board.graph = board.folder / encoder_path.name
    board.graph.symlink_to(encoder_path)  # where nobody made other precisions of it
    assert board.run()[0] == 0
    script = f"""
import numpy as np
from engines.errors import AttuneError
from engines.whisper.encoder_tensorrt import TensorRtEncoder
from engines.whisper.probe_speech import probe_speech
[plan] = __import__("pathlib").Path({str(board.plans)!r}).glob("*.plan")
encoder = TensorRtEncoder(plan)
np.save({str(board.folder / "frames.npy")!r}, encoder.encode(probe_speech()))
print(encoder.encode_silent_window().shape, encoder.mel_bins, encoder.frame_width)
try:
    encoder.run(np.zeros((80, {MAX_COLUMNS + 2}), np.float32))
except AttuneError as error:
    print(error)
encoder.close()
"""
    shape, problem = board.ask(script).splitlines()
    assert shape == "(1500, 384) 80 384"
    assert problem.startswith("the plan takes no log-mel of 3002 columns")
    oracle = OnnxEncoder(board.graph, 2).encode(probe_speech())
    assert np.abs(np.load(board.folder / "frames.npy") - oracle).max() < 1e-3


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"FAKE_TENSORRT": "build=fails"}, "built nothing of .*: no tactic fits the workspace"),
        ({"FAKE_TENSORRT": "frames=wrong"}, "stray from ONNX Runtime's: cosine"),
        ({"FAKE_CUDA": "none"}, "knows of no GPU"),
        ({"FAKE_CUDA": "broken"}, "starting it failed with CUDA error 999"),
        ({"LD_LIBRARY_PATH": "/nowhere"}, "no NVIDIA driver"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_keeps_nothing(
    board: Board, odd: dict[str, str], said: str
) -> None:
    board.odd = odd
    if "LD_LIBRARY_PATH" in odd:
        board.driver = None
    code, last = board.run()
    assert (code, last.stage) == (1, "failed")
    assert re.search(said, last.note), last.note
    assert not list(board.plans.glob("*.plan"))


def test_a_plan_of_another_version_is_built_anew(board: Board) -> None:
    assert board.run()[0] == 0
    board.odd = {"FAKE_TENSORRT": "version=10.16.2"}
    code, last = board.run(tries_only=True)
    assert code == 1
    assert ".plan" in last.note, "none is there under the key of this version"
    assert board.run()[0] == 0, "what another version timed is no use, and no harm"
    assert {card.key.tensorrt for card in list_plans(board.plans)} == {"10.3.0", "10.16.2"}


def test_a_plan_that_was_cut_short_is_not_opened(board: Board) -> None:
    assert board.run()[0] == 0
    [plan] = board.plans.glob("*.plan")
    [card] = list_plans(board.plans)
    os.truncate(plan, plan.stat().st_size // 2)
    assert read_plan(board.plans, card.key) is None
    code, last = board.run(tries_only=True)
    assert code == 1
    assert "cut short" in last.note


def test_a_build_that_is_killed_leaves_what_was_there(board: Board) -> None:
    assert board.run()[0] == 0
    before = left(board)
    board.odd = {"FAKE_TENSORRT": "build=dies"}
    job = board.folder / "job.json"
    done = subprocess.run(
        [sys.executable, "-m", "engines", str(job)],
        capture_output=True,
        env=board.environment(),
        check=False,
    )
    assert done.returncode == -9
    assert left(board) == before


KEY = PlanKey(
    graph_sha256="a",
    precision="float16",
    tensorrt="10.3.0",
    compute_capability="8.7",
    l4t="36.4.3",
    workspace_bytes=1 << 29,
)


@pytest.mark.parametrize(
    "other",
    [
        {"graph_sha256": "b"},
        {"precision": "int8"},
        {"tensorrt": "10.16.2"},
        {"compute_capability": "8.9"},
        {"l4t": ""},
        {"workspace_bytes": 1},
    ],
)
def test_whatever_a_plan_depends_on_is_in_its_name(other: dict[str, object]) -> None:
    assert KEY.model_copy(update=other).name != KEY.name


def test_a_plan_in_quarantine_is_tried_again_later_and_later(tmp_path: Path) -> None:
    plan_path(tmp_path, KEY).write_bytes(b"a plan")
    first = quarantine(tmp_path, KEY, "its frames stray", now=1000.0)
    assert not plan_path(tmp_path, KEY).exists()
    assert read_quarantine(tmp_path, KEY) == first
    assert not first.is_over(1000.0 + 599)
    assert first.is_over(1000.0 + 600)
    assert first.is_over(900.0), "a clock that was set back keeps nothing away for ever"
    second = quarantine(tmp_path, KEY, "again", now=2000.0)
    assert second.times == 2
    assert not second.is_over(2000.0 + 1199)
    assert second.is_over(2000.0 + 1200)
    often = Quarantine(key=KEY, reason="", at=0.0, times=500)
    assert often.is_over(86_400.0)
    beside = tmp_path / "beside"
    beside.write_bytes(b"a good plan")
    sha256 = hashlib.sha256(b"a good plan").hexdigest()
    card = PlanCard(
        key=KEY,
        sha256=sha256,
        built_at=time.time(),
        build_seconds=1,
        peak_bytes=1,
        cosine=1,
        milliseconds=1,
    )
    keep_plan(tmp_path, card, beside)
    assert read_quarantine(tmp_path, KEY) is None
    assert read_plan(tmp_path, KEY) == card
    plan_path(tmp_path, KEY).with_suffix(".json").write_text("{}")
    assert read_plan(tmp_path, KEY) is None


@pytest.mark.parametrize(
    ("text", "release"),
    [
        (
            (
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64,"
                " DATE: Wed Jan  8\n"
            ),
            "36.4.3",
        ),
        ("# R39 (release), REVISION: 2.0, GCID: 1\n", "39.2.0"),
        ("something else\n", ""),
        ("", ""),
    ],
)
def test_a_jetsons_release_is_read(tmp_path: Path, text: str, release: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text(text)
    assert l4t_release(tmp_path) == release
    assert l4t_release(tmp_path / "elsewhere") == ""


def test_the_probe_is_the_same_everywhere_and_sounds_like_something() -> None:
    samples = probe_speech()
    assert samples.shape == (32_000,)
    assert np.array_equal(samples, probe_speech())
    assert 0.05 < np.abs(samples).max() < 1.0
    mel = encoder_mel(samples, 80)
    assert mel.shape == (80, 250)
    assert mel.std() > 0.2
