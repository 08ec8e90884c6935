"""Runs a personal round as the daemon would: in a child process that gets a job file. Knows nothing
of the purpose."""

import os
import subprocess
from collections.abc import Callable

from engines.encryption.files import write_file
from engines.errors import AttuneError
from engines.generations.folder import Generation, read_generation
from engines.jobs.child_process import PARENT_VARIABLE
from engines.jobs.messages import AdaptJob, Progress, Report
from engines.jobs.programs import CALIBRATION_JOB, program


def run_apart(
    job: AdaptJob, name: str, report: Report, began: Callable[[int], None] = lambda process: None
) -> Generation:
    """Run `job`, whose folder exists, and return the generation that it wrote; progress is reported
    under `name`.

    `began` is called with the number of the process, which stays the same through all stages.
    Raises AttuneError where the round fails.
    """
    path = job.folder / "job.json"
    write_file(path, job.model_dump_json().encode())
    environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    last = None
    with subprocess.Popen(
        program(CALIBRATION_JOB, str(path)), stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        began(child.pid)
        assert child.stdout is not None
        for line in child.stdout:
            last = Progress.model_validate_json(line)
            report(f"{name}: {last.stage}", last.fraction, last.note)
    if child.returncode != 0 or (last is not None and last.stage == "refused"):
        raise AttuneError(
            f"the round of {name} failed: {last.note if last else 'its process said nothing'}"
        )
    return read_generation(job.generations / f"{job.number:04d}")
