"""Runs the calibration child as the daemon does, on one thread of torch."""

import os
import subprocess
import sys

from engines.jobs.messages import AdaptJob, Progress


def start(job: AdaptJob) -> "subprocess.Popen[str]":
    path = job.folder / "job.json"
    path.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "calibration", str(path)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run(job: AdaptJob) -> tuple[int, list[Progress]]:
    with start(job) as child:
        out, _ = child.communicate()
    return child.returncode, [Progress.model_validate_json(line) for line in out.splitlines()]
