"""The layers hold: who may import whom, torch stays out of the resident service, and nobody shadows
the packages."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.places import PROJECT


def run(*command: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-logo",
        "--no-cache",
        folder=folder,
    )


def test_import_contracts_hold() -> None:
    done = lint_imports(PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("engines", "torch"),
        ("daemon", "torch"),
        ("engines", "daemon"),
        ("daemon", "calibration"),
        ("daemon.store", "daemon.serving"),
        ("engines.whisper", "engines.alignment"),
        ("calibration.training", "calibration.round"),
    ],
)
def test_a_broken_contract_is_noticed(tmp_path: Path, importer: str, imported: str) -> None:
    """In a house of the same rooms, each an empty file."""
    settings = (PROJECT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(settings)
    for contract in tomllib.loads(settings)["tool"]["importlinter"]["contracts"]:
        for container in contract.get("containers", ()):
            (tmp_path / container).mkdir()
            for room in (
                "__init__",
                *(room for floor in contract["layers"] for room in floor.split(" | ")),
            ):
                (tmp_path / container / f"{room}.py").touch()
    package, _, room = importer.partition(".")
    (tmp_path / package / f"{room or '__init__'}.py").write_text(f"import {imported}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert f"{importer} -> {imported}" in done.stdout


@pytest.mark.parametrize("module", ["daemon.app", "daemon.cli.__main__"])
def test_the_resident_service_loads_no_torch(module: str) -> None:
    heavy = "{'torch', 'transformers', 'calibration'}"
    done = run(
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))",
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "calibration.jobs.adapt",
        "calibration.round.extract_features",
        "calibration.round.choose",
        "calibration.round.judge",
    ],
)
def test_stages_that_train_nothing_load_no_torch(module: str) -> None:
    done = run(
        sys.executable, "-W", "ignore", "-c", f"import sys, {module}; print('torch' in sys.modules)"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize("package", ["daemon", "engines", "calibration"])
def test_no_other_distribution_shadows_a_package(package: str) -> None:
    assert import_module(package).__file__ == str(PROJECT / package / "__init__.py")
