"""The stand-in for the CUDA runtime's bindings against the real ones, which import without a GPU
and answer with an error there.

Skipped where the wheels cannot be had.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from types import ModuleType

import pytest

from tests.support.installed_apart import installed_apart
from tests.support.loaded_alone import loaded_alone
from tests.support.places import PROJECT, SUPPORT

VERSIONS = ("12.9.10", "13.2.0", "13.5.0")
ANSWERS = {"cudaMalloc": 2, "cudaFree": 1, "cudaMemcpyAsync": 1, "cudaMemGetInfo": 3}
ANSWERS |= {"cudaStreamCreate": 2, "cudaStreamSynchronize": 1, "cudaStreamDestroy": 1}
"""How many values each function answers with, the first a code."""
FAKE = SUPPORT / "fake_tensorrt" / "cuda" / "bindings" / "runtime.py"
ENGINES = PROJECT / "engines"
DESCRIBE = """
import inspect, json, sys
from cuda.bindings import runtime as real

found = {}
for name in sys.argv[1:]:
    function = getattr(real, name)
    parameters = len(inspect.signature(function).parameters)
    to_device = real.cudaMemcpyKind.cudaMemcpyHostToDevice
    given = [to_device if "kind" in one else 0 for one in inspect.signature(function).parameters]
    answer = function(*given)
    found[name] = {"parameters": parameters, "code": int(answer[0]), "answers": len(answer)}
kinds = {kind.name: int(kind) for kind in real.cudaMemcpyKind}
print(json.dumps({"functions": found, "kinds": kinds, "stream": int(real.cudaStream_t(5))}))
"""


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    return loaded_alone(FAKE, "fake_cuda")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stand_in_is_called_as_the_real_bindings_are(version: str, fake: ModuleType) -> None:
    """The real ones, called without a device, take as many arguments and answer with as many
    values, the first a code."""
    wheel = installed_apart(f"cuda-bindings=={version}", "cuda-pathfinder==1.9.0")
    functions = {name: value for name, value in vars(fake).items() if inspect.isfunction(value)}
    ours = {name: len(inspect.signature(value).parameters) for name, value in functions.items()}
    environment = {**os.environ, "PYTHONPATH": str(wheel), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", DESCRIBE, *ours]
    real = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    )
    assert real["stream"] == 5, "a stream is given to TensorRT as a number"
    for kind in fake.cudaMemcpyKind:
        assert real["kinds"][kind.name] == kind
    assert {name: one["parameters"] for name, one in real["functions"].items()} == ours
    assert {name: one["answers"] for name, one in real["functions"].items()} == ANSWERS
    assert all(one["code"] for one in real["functions"].values()), "nothing works without a device"


def test_the_stand_in_answers_with_as_many_values(fake: ModuleType) -> None:
    code, address = fake.cudaMalloc(16)
    kind = fake.cudaMemcpyKind.cudaMemcpyHostToDevice
    given = {
        "cudaMemcpyAsync": (address, address, 16, kind, 1),
        "cudaStreamSynchronize": (1,),
        "cudaStreamDestroy": (1,),
    }
    given |= {"cudaMalloc": (16,), "cudaFree": (address,)}
    answers = {
        name: getattr(fake, name)(*given.get(name, ())) for name in sorted(ANSWERS, reverse=True)
    }
    assert {name: len(answer) for name, answer in answers.items()} == ANSWERS
    assert [int(code), *(int(answer[0]) for answer in answers.values())] == [0] * (len(ANSWERS) + 1)


def test_what_the_engines_call_is_in_the_stand_in(fake: ModuleType) -> None:
    called = {
        name
        for path in ENGINES.rglob("*.py")
        for name in re.findall(r"\bcuda[A-Z]\w+", path.read_text())
    }
    assert {"cudaMalloc", "cudaMemcpyAsync", "cudaMemGetInfo"} <= called
    assert called <= {*vars(fake), *vars(fake.cudaMemcpyKind)}
