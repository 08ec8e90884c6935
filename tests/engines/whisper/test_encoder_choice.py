"""Which encoder serves, whatever becomes of a GPU, its driver, its libraries and its plans; and the
claims about them, tried."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.recogniser.start import SHIPPED
from engines.errors import AttuneError
from engines.models.general_speech import read_prompts
from engines.types import Float32
from engines.whisper.encoder_choice import EncoderWithStandby, choose_encoder, open_encoder
from engines.whisper.encoder_onnx import OnnxEncoder
from tests.support.gpu_board import FAKES, Board, board, driver

__all__ = ["board", "driver"]

CHOOSE = """
import sys, time
from pathlib import Path
import numpy as np
from engines.whisper.encoder_choice import choose_encoder, open_encoder
from engines.whisper.probe_speech import probe_speech
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
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=board.environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_speech_is_encoded_whatever_becomes_of_the_plan(board: Board) -> None:
    """From no plan at all to one that fails while it serves; each time the next step is known, and
    the frames come."""
    first, frames, _ = choose(board)
    assert first.startswith(
        "build | ONNX Runtime on the processor until a plan is built; float16 was not made yet"
    )
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
    assert waits.startswith(
        "wait | ONNX Runtime on the processor: the plan is not trusted (the GPU could not run the"
        " encoder"
    )
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
    assert found[0].startswith(
        "wait | ONNX Runtime on the processor: the plan is not trusted (the process that opened it"
        " ended"
    )
    assert found[1] == "(125, 384)"


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"LD_LIBRARY_PATH": "/nowhere"}, "there is no NVIDIA driver (libcuda.so.1 is missing)"),
        ({"FAKE_CUDA": "none"}, "the NVIDIA driver knows of no GPU"),
        ({"PYTHONPATH": str(FAKES.parent.parent)}, "TensorRT is not there"),
    ],
)
def test_without_gpu_or_library_the_reason_is_told(
    board: Board, odd: dict[str, str], why: str
) -> None:
    board.odd = odd
    if "LD_LIBRARY_PATH" in odd:
        board.driver = None
    found = choose(board)
    assert found[0].startswith("none | ONNX Runtime on the processor: ")
    assert why in found[0]
    assert found[1] == "(125, 384)"


@pytest.mark.slow
def test_claims_about_a_gpu_are_tried_each_in_a_process_of_its_own(
    board: Board, general_speech: Path, llm_path: Path
) -> None:
    recordings = [str(prompt.audio) for prompt in read_prompts(general_speech)[:3]]
    request = f"""
import json
from pathlib import Path
from engines.errors import AttuneError
from engines.selftest.claims import CLAIMS, Request
from engines.selftest.runner import run_claims
request = Request(
    encoder={str(board.graph)!r}, graph={str(board.graph)!r}, precision="float32",
    language_model={str(llm_path)!r}, whisper={str(board.folder)!r},
    folder={str(board.folder / "selftest")!r}, recordings={recordings!r},
)
"""

    def tried(only: tuple[str, ...] = ()) -> dict[str, Any]:
        run = f"found = run_claims(request, only={only!r})\n"
        show = "print(json.dumps({one.claim: one.model_dump() for one in found}))"
        found: dict[str, Any] = json.loads(board.ask(request + run + show))
        return found

    found = tried()
    assert {name for name, one in found.items() if one["state"] == "held"} >= {
        "driver", "tensorrt", "plan", "plan_frames", "plan_memory"
    }  # fmt: skip
    assert found["driver"]["figures"]["compute_capability"] == "8.7"
    assert found["plan_frames"]["figures"]["recordings"] == 3
    assert {
        found[name]["state"] for name in ("onnxruntime_cuda", "llama_cuda", "ctranslate2_cuda")
    } == {"not run"}
    assert "built without CUDA" in found["llama_cuda"]["note"]
    board.odd = {"FAKE_TENSORRT": "open=crashes"}
    crashed = tried(only=("driver", "plan"))
    assert crashed["plan"]["state"] == "refuted"
    assert "its process ended with -11" in crashed["plan"]["note"]
    assert crashed["driver"]["state"] == "held"
    board.odd = {"FAKE_CUDA": "none"}
    assert tried(only=("plan",))["plan"]["state"] == "not run"
    each = """
for claim, act in CLAIMS.items():
    try:
        act(request)
    except AttuneError:
        continue
    print(claim)
"""
    assert board.ask(request + each) == "", "without a GPU none can be tried"


def test_where_onnx_runtime_knows_no_gpu_the_processor_serves(
    encoder_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AttuneError, match="on the GPU: ONNX Runtime .* was built without CUDA"):
        OnnxEncoder(encoder_path, 2, device="gpu")
    choice = choose_encoder(encoder_path, "float32", tmp_path, time.time(), onnx_device="gpu")
    assert choice.why.startswith("ONNX Runtime on the GPU: ")
    opened = open_encoder(choice, encoder_path, tmp_path, 2, onnx_device="gpu")
    assert opened.runs_by == "ONNX Runtime on the processor"
    assert caplog.text.count("runs on the processor from now on") == 1


class Breaks(OnnxEncoder):
    """A GPU that fails."""

    runs_by = "a GPU"

    def run(self, mel: Float32) -> Float32:
        raise AttuneError("CUDA error 700")


def test_an_encoder_that_fails_gives_way_in_the_middle_of_an_utterance(encoder_path: Path) -> None:
    encoder = OnnxEncoder(encoder_path, 2)
    told: list[AttuneError] = []
    both = EncoderWithStandby(Breaks(encoder_path, 2), encoder, told.append)
    assert both.runs_by == "a GPU"
    samples = np.zeros(16_000, np.float32)
    assert np.array_equal(both.encode(samples), encoder.encode(samples))
    both.encode(samples)
    assert [str(error) for error in told] == ["CUDA error 700"]
    assert both.runs_by == encoder.runs_by


RECOGNISE = """
import sys, time
from pathlib import Path
import numpy as np
from engines.whisper.ctranslate2_file import read_ctranslate2
from engines.whisper.encoder_choice import choose_encoder, open_encoder
from engines.whisper.encoder_onnx import OnnxEncoder, with_layers
from engines.whisper.probe_speech import probe_speech
from engines.whisper.recogniser_weights import merged_layers, read_recogniser

graph, plans, whisper, recogniser = map(Path, sys.argv[1:])
weights, variables = read_recogniser(recogniser), read_ctranslate2(whisper / "model.bin")

def changes(path):
    return with_layers(path, merged_layers(weights, variables, "encoder"))

choice = choose_encoder(graph, "auto", plans, time.time())
encoder = open_encoder(choice, graph, plans, 2, changes=changes)
print(encoder.runs_by)
speech = probe_speech()
print(float(np.abs(encoder.encode(speech) - OnnxEncoder(graph, 2).encode(speech)).max()))
expected = OnnxEncoder(graph, 2, changes=changes).encode(speech)
print(np.array_equal(encoder.encode(speech), expected))
"""


def recognise(board: Board, whisper_folder: Path) -> list[str]:
    command = [sys.executable, "-c", RECOGNISE]
    command += [str(one) for one in (board.graph, board.plans, whisper_folder, SHIPPED)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=board.environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_plan_takes_the_weights_of_a_recogniser_and_is_not_built_anew(
    board: Board, whisper_folder: Path, encoder_path: Path
) -> None:
    board.graph.write_bytes(encoder_path.read_bytes())
    assert recognise(board, whisper_folder)[0] == "ONNX Runtime on the processor"
    board.run()
    plans = {path: path.read_bytes() for path in board.plans.glob("*.plan")}
    runs_by, far, same = recognise(board, whisper_folder)
    assert (runs_by, same) == ("TensorRT", "True")
    assert float(far) > 0.1
    assert {path: path.read_bytes() for path in board.plans.glob("*.plan")} == plans
