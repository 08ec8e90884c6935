"""The stand-in for TensorRT against the real Python module of several versions: every name and call
that is used is there.

The bindings import without TensorRT and without a GPU once somebody defines the nine functions that
they take from its libraries; nothing of them is ever called. Skipped where the wheels cannot be
had.
"""

import ast
import inspect
import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from tests.support.installed_apart import installed_apart
from tests.support.loaded_alone import loaded_alone
from tests.support.places import PROJECT, SUPPORT

VERSIONS = {
    "10.3.0": "tensorrt-cu12-bindings",
    "10.16.0.72": "tensorrt-cu12-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}
FAKE = SUPPORT / "fake_tensorrt" / "tensorrt" / "__init__.py"
Surface = dict[str, dict[str, list[int]]]
"""By class and member: how many parameters each overload takes, with `self`; nothing for what is
not called."""
TAKEN_FROM_ITS_LIBRARIES = (
    *(
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "getPluginRegistry",
    ),
    *(
        "createNvOnnxParserRefitter_INTERNAL",
        "createNvOnnxParser_INTERNAL",
        "getBuilderPluginRegistry",
    ),
    *("getNvOnnxParserVersion", "initLibNvInferPlugins"),
)
DESCRIBE = """
import json, re, sys
import tensorrt_bindings as real

def arity(method):
    # the first line of a binding's documentation is its signature; of overloads each stands in a
    # line of its own
    found = re.findall(r"^(?:\\d+\\. )?\\w+\\((.*)\\) -> ", method.__doc__ or "", re.M)
    plain = [re.sub(r"\\[[^\\]]*\\]", "", one) for one in found]
    return [len(one.split(",")) if one.strip() else 0 for one in plain]

classes = {
    name: {
        inner: arity(getattr(kind, inner)) if callable(getattr(kind, inner)) else None
        for inner in dir(kind)
    }
    for name, kind in vars(real).items() if isinstance(kind, type)
}
print(json.dumps({"version": real.__version__, "classes": classes}))
"""


@pytest.fixture(scope="module", params=VERSIONS)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Surface:
    """What the bindings of a version say of themselves."""
    version = request.param
    wheel = installed_apart(f"{VERSIONS[version]}=={version}")
    stubs = tmp_path_factory.mktemp("stubs")
    source = stubs / "stubs.c"
    source.write_text(
        "".join(f"void *{name}(void) {{ return 0; }}\n" for name in TAKEN_FROM_ITS_LIBRARIES)
    )
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        name = f"lib{library}.so.{version.split('.')[0]}"
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(stubs / name), str(source)],
            check=True,
        )
    environment = {**os.environ, "PYTHONPATH": str(wheel), "LD_LIBRARY_PATH": str(stubs)}
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found = json.loads(done.stdout)
    assert found["version"] == version
    classes: Surface = found["classes"]
    return classes


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    return loaded_alone(FAKE, "fake_tensorrt")


def public(kind: type) -> dict[str, object]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("_")}


def test_the_stand_in_has_no_name_that_tensorrt_has_not(real: Surface, fake: ModuleType) -> None:
    kinds = {
        name: kind
        for name, kind in vars(fake).items()
        if isinstance(kind, type) and not name.startswith("_")
    }
    ours = {name: kind for name, kind in kinds.items() if kind.__module__ == "fake_tensorrt"}
    assert len(ours) >= 11
    for name, kind in ours.items():
        assert name in real
        for inner, value in public(kind).items():
            if name == "NetworkDefinitionCreationFlag" and inner == "EXPLICIT_BATCH":
                continue  # 11 has no other kind of batch any more
            assert inner in real[name], f"{name}.{inner}"
            if inspect.isfunction(value):
                parameters = len(inspect.signature(value).parameters)
                taken = real[name][inner]
                assert not taken or any(parameters <= count for count in taken), (
                    f"{name}.{inner} takes {taken}"
                )


@pytest.mark.parametrize("module", ["whisper/tensorrt_build.py", "whisper/encoder_tensorrt.py"])
def test_what_the_engines_use_is_in_the_stand_in(module: str, fake: ModuleType) -> None:
    """So that the stand-in's tests are tests of what runs on a board."""
    path = PROJECT / "engines" / module
    used = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "trt"
    }
    assert used
    assert used <= set(vars(fake))
