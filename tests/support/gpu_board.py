"""A machine with a GPU, as far as a process can tell: stand-ins for driver, TensorRT and CUDA's
runtime, and their fixtures."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engines.jobs.engine_jobs import PlanJob
from engines.jobs.messages import Progress
from tests.support.small_encoder import write_small_encoder

FAKES = Path(__file__).parent / "fake_tensorrt"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda that knows one Orin."""
    folder = tmp_path_factory.mktemp("driver")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(FAKES / "libcuda.c")],
        check=True,
    )
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

    def run(self, tries_only: bool = False, timeout_seconds: float = 600.0) -> tuple[int, Progress]:
        """Its exit status and last line."""
        job = PlanJob(
            graph=self.graph, precision="float32", plans=self.plans, tries_only=tries_only
        )
        path = self.folder / "job.json"
        path.write_text(job.model_dump_json())
        command = [sys.executable, "-m", "engines", str(path)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            env=self.environment(),
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, Progress.model_validate_json(done.stdout.splitlines()[-1])

    def ask(self, script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=900,
            env=self.environment(),
        )
        return done.stdout.strip()


@pytest.fixture
def board(tmp_path: Path, driver: Path) -> Board:
    return Board(tmp_path, write_small_encoder(tmp_path / "encoder.onnx"), driver)
