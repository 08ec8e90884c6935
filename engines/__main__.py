"""`python -m engines JOB.json`: builds TensorRT plans and tries engines on the GPU, in a process of
its own, because GPU libraries may end the process that runs them. Prints the same progress lines as
a calibration child."""

import signal
import sys
from pathlib import Path

from pydantic import TypeAdapter

from .errors import AttuneError
from .jobs.child_process import SIGTERM_EXIT, settle_as_child
from .jobs.engine_jobs import EngineJob, PlanJob
from .jobs.messages import print_progress


def main() -> int:
    """Settle as a background child, run the job named on the command line, and return the exit
    status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(SIGTERM_EXIT))
    settle_as_child()
    try:
        job: EngineJob = TypeAdapter(EngineJob).validate_json(Path(sys.argv[1]).read_bytes())
        if isinstance(job, PlanJob):
            from .whisper import plan_job

            plan_job.run(job, print_progress)
        else:
            from .selftest import runtime_trials

            runtime_trials.run(job, print_progress)
    except (AttuneError, OSError, ValueError) as error:
        print_progress("failed", 1.0, str(error).splitlines()[0])
        return 1
    print_progress("done", 1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
