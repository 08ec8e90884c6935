"""The probe of instruction sets: what it claims runs, and what cannot run is found out by running
it."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engines.device.cpu_features import PROBES, Probe, cmake_args, runs
from tests.support.places import PROJECT

x86_only = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the probes are x86 instructions"
)


def probe(body: str, expected: int = 42, flags: tuple[str, ...] = ()) -> Probe:
    return Probe("TEST", flags, body, expected)


@x86_only
def test_a_right_result_counts() -> None:
    assert runs(probe("result = seed + 41;"))


@x86_only
@pytest.mark.parametrize(
    "body",
    [
        "__builtin_trap();",  # dies of an illegal instruction, as a missing instruction set does
        "result = seed + 40;",
        "result = seed + 41; __builtin_exit(3);",
        "this is not C;",
    ],
)
def test_death_wrong_results_and_failed_builds_do_not_count(body: str) -> None:
    assert not runs(probe(body))


@x86_only
@pytest.mark.parametrize("each", PROBES, ids=lambda each: each.option)
def test_every_probe_compiles(each: Probe) -> None:
    done = subprocess.run(
        ["cc", "-fsyntax-only", "-Wall", "-Werror", *each.compiler_flags, "-x", "c", "-"],
        input="#include <immintrin.h>\n"
        f"int f(int seed) {{ int result; {each.body} return result; }}",
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@x86_only
def test_flags_name_every_set_and_never_amx() -> None:
    flags = dict(flag.removeprefix("-D").split("=") for flag in cmake_args().split())
    assert flags.pop("GGML_NATIVE") == "OFF"
    assert set(flags) == {f"GGML_{each.option}" for each in PROBES} | {"GGML_AVX"}
    listed = Path("/proc/cpuinfo").read_text().split()
    assert flags["GGML_AVX2"] == "OFF" or "avx2" in listed
    assert flags["GGML_AVX512"] == "OFF" or "avx512f" in listed


def test_other_machines_trust_their_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cmake_args() == "-DGGML_NATIVE=ON"


def test_runs_before_anything_is_installed() -> None:
    command = [sys.executable, "-S", "-m", "engines.device.cpu_features"]  # -S: no site-packages
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stdout.startswith("-DGGML_NATIVE=")
