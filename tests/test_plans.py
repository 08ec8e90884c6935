"""TensorRT plans, built, tried and kept by a child process on a stand-in for TensorRT, CUDA and the driver."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from engines.encoder_onnx import OnnxEncoder
from engines.general_speech import read_prompts
from engines.gpu import l4t_release
from engines.job import PlanJob, Progress
from engines.plans import PlanCard, PlanKey, Quarantine, keep_plan, list_plans, plan_path, quarantine, read_plan, read_quarantine
from engines.probe_speech import probe_speech
from engines.speech_encoder import MAX_COLUMNS, encoder_mel

FAKES = Path(__file__).parent / "fake_tensorrt"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda that knows one Orin."""
    folder = tmp_path_factory.mktemp("driver")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(FAKES / "libcuda.c")], check=True)
    return folder


@dataclass
class Board:
    """A machine with a GPU, as far as the children that run on it can tell."""

    folder: Path
    graph: Path
    driver: Path | None
    odd: dict[str, str] = field(default_factory=dict)

    @property
    def plans(self) -> Path:
        return self.folder / "plans"

    def environment(self) -> dict[str, str]:
        paths = [str(FAKES), str(FAKES.parent.parent)]
        found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **self.odd}
        return found | ({"LD_LIBRARY_PATH": str(self.driver)} if self.driver else {})

    def run(self, tries_only: bool = False, timeout_seconds: float = 120.0) -> tuple[int, Progress]:
        """Its exit status and last line."""
        job = PlanJob(graph=self.graph, precision="float32", plans=self.plans, tries_only=tries_only)
        path = self.folder / "job.json"
        path.write_text(job.model_dump_json())
        command = [sys.executable, "-m", "engines.engine_job", str(path)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_seconds, check=False, env=self.environment()
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, Progress.model_validate_json(done.stdout.splitlines()[-1])

    def ask(self, script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120, env=self.environment()
        )
        return done.stdout.strip()


@pytest.fixture
def board(tmp_path: Path, encoder_path: Path, driver: Path) -> Board:
    return Board(tmp_path, alone(encoder_path, tmp_path), driver)


def alone(encoder: Path, folder: Path) -> Path:
    """The encoder under another path, where nobody made other precisions of it."""
    link = folder / encoder.name
    link.symlink_to(encoder)
    return link


def left(board: Board) -> list[str]:
    return sorted(path.suffix or path.name for path in board.plans.iterdir()) if board.plans.is_dir() else []


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


def test_its_frames_are_those_of_the_graph(board: Board) -> None:
    assert board.run()[0] == 0
    script = f"""
import numpy as np
from engines.errors import AttuneError
from engines.tensorrt_encoder import TensorRtEncoder
from engines.probe_speech import probe_speech
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
def test_what_goes_wrong_is_said_in_one_line_and_keeps_nothing(board: Board, odd: dict[str, str], said: str) -> None:
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
        [sys.executable, "-m", "engines.engine_job", str(job)], capture_output=True, env=board.environment(), check=False
    )
    assert done.returncode == -9
    assert left(board) == before


KEY = PlanKey(
    graph_sha256="a", precision="float16", tensorrt="10.3.0", compute_capability="8.7", l4t="36.4.3", workspace_bytes=1 << 29
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
    card = PlanCard(key=KEY, sha256=sha256, built_at=time.time(), build_seconds=1, peak_bytes=1, cosine=1, milliseconds=1)
    keep_plan(tmp_path, card, beside)
    assert read_quarantine(tmp_path, KEY) is None
    assert read_plan(tmp_path, KEY) == card
    plan_path(tmp_path, KEY).with_suffix(".json").write_text("{}")
    assert read_plan(tmp_path, KEY) is None


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n", "36.4.3"),
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


CHOOSE = """
import sys, time
from pathlib import Path
import numpy as np
from engines.encoder_choice import choose_encoder, open_encoder
from engines.probe_speech import probe_speech
graph, plans, shift, *wrong = sys.argv[1:]
choice = choose_encoder(Path(graph), "auto", Path(plans), time.time() + float(shift))
print(choice.step, "|", choice.why)
encoder = open_encoder(choice, Path(graph), Path(plans), 2)
if wrong:
    encoder._serving._context.execute_async_v3 = lambda stream: False
print(encoder.encode(probe_speech()).shape)
print(choose_encoder(Path(graph), "auto", Path(plans), time.time() + float(shift)).step)
"""


def choose(board: Board, *more: str, shift: float = 0.0) -> list[str]:
    command = [sys.executable, "-c", CHOOSE, str(board.graph), str(board.plans), str(shift), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=board.environment(), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_speech_is_encoded_whatever_becomes_of_the_plan(board: Board) -> None:
    """From no plan at all to one that fails while it serves; each time the next step is known, and the frames come."""
    first, frames, _ = choose(board)
    assert first.startswith("build | ONNX Runtime on the processor until a plan is built; float16 was not made yet")
    assert frames == "(125, 384)"
    board.run()
    assert choose(board)[0].startswith("open | TensorRT 10.3.0 in float32")
    for tried in board.plans.glob("*.tried"):
        tried.write_text("another start of the machine")
    assert choose(board)[0].startswith("try | ")
    assert board.run(tries_only=True)[0] == 0
    opened, frames, after = choose(board, "wrong")
    assert opened.startswith("open")
    assert frames == "(125, 384)", "the turn in which it fails is answered, too"
    assert after == "wait"
    waits = choose(board)[0]
    assert waits.startswith("wait | ONNX Runtime on the processor: the plan is not trusted (the GPU could not run the encoder")
    assert choose(board, shift=601.0)[0].startswith("build")
    board.run()
    assert choose(board)[0].startswith("open")


def test_a_plan_that_ended_its_process_is_not_opened_again(board: Board) -> None:
    board.run()
    board.odd = {"FAKE_TENSORRT": "open=crashes"}
    command = [sys.executable, "-c", CHOOSE, str(board.graph), str(board.plans), "0"]
    crashed = subprocess.run(command, capture_output=True, check=False, env=board.environment())
    assert crashed.returncode == -11
    found = choose(board)
    assert found[0].startswith("wait | ONNX Runtime on the processor: the plan is not trusted (the process that opened it ended")
    assert found[1] == "(125, 384)"


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"LD_LIBRARY_PATH": "/nowhere"}, "there is no NVIDIA driver (libcuda.so.1 is missing)"),
        ({"FAKE_CUDA": "none"}, "the NVIDIA driver knows of no GPU"),
        ({"PYTHONPATH": str(FAKES.parent.parent)}, "TensorRT is not there"),
    ],
)
def test_without_gpu_or_library_the_reason_is_told(board: Board, odd: dict[str, str], why: str) -> None:
    board.odd = odd
    if "LD_LIBRARY_PATH" in odd:
        board.driver = None
    found = choose(board)
    assert found[0].startswith("none | ONNX Runtime on the processor: ")
    assert why in found[0]
    assert found[1] == "(125, 384)"


def test_claims_about_a_gpu_are_tried_each_in_a_process_of_its_own(board: Board, general_speech: Path, llm_path: Path) -> None:
    recordings = [str(prompt.audio) for prompt in read_prompts(general_speech)[:3]]
    script = f"""
import json
from pathlib import Path
from engines.selftest import Request, run_claims
request = Request(
    encoder={str(board.graph)!r}, graph={str(board.graph)!r}, precision="float32", language_model={str(llm_path)!r},
    whisper={str(board.folder)!r}, folder={str(board.folder / "selftest")!r}, recordings={recordings!r},
)
print(json.dumps([verdict.model_dump() for verdict in run_claims(request)]))
"""
    found = {one["claim"]: one for one in json.loads(board.ask(script))}
    assert {name for name, one in found.items() if one["state"] == "held"} >= {
        "driver", "tensorrt", "plan", "plan_frames", "plan_memory"
    }  # fmt: skip
    assert found["driver"]["figures"]["compute_capability"] == "8.7"
    assert found["plan_frames"]["figures"]["recordings"] == 3
    assert {found[name]["state"] for name in ("onnxruntime_cuda", "llama_cuda", "ctranslate2_cuda")} == {"not run"}
    assert "built without CUDA" in found["llama_cuda"]["note"]
    board.odd = {"FAKE_TENSORRT": "open=crashes"}
    crashed = {one["claim"]: one for one in json.loads(board.ask(script))}
    assert crashed["plan"]["state"] == "refuted"
    assert "its process ended with -11" in crashed["plan"]["note"]
    assert crashed["driver"]["state"] == "held"
    board.odd = {"FAKE_CUDA": "none"}
    nothing = json.loads(board.ask(script))
    assert {one["state"] for one in nothing} == {"not run"}
