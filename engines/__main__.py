"""`python -m engines JOB.json`: plans and trials, which the process that serves leaves alone:
libraries of a GPU may end the process that runs them. Speaks the same lines as a calibration child.
"""

import signal
import sys
from pathlib import Path

from pydantic import TypeAdapter

from .errors import AttuneError
from .jobs.child_process import settle_as_child
from .jobs.messages import EngineJob, PlanJob, Progress
from .selftest import runtime_trials
from .whisper import plan_job


def main() -> int:
    """Settle as a background child and run the job named on the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settle_as_child()
    try:
        job: EngineJob = TypeAdapter(EngineJob).validate_json(Path(sys.argv[1]).read_bytes())
        if isinstance(job, PlanJob):
            plan_job.run(job, _say)
        else:
            runtime_trials.run(job, _say)
    except (AttuneError, OSError, ValueError) as error:
        _say("failed", 1.0, str(error).splitlines()[0])
        return 1
    _say("done", 1.0)
    return 0


def _say(stage: str, fraction: float, note: str = "") -> None:
    # In one piece: beside another process on the same pipe an end of line of its own would come too
    # late.
    print(
        Progress(stage=stage, fraction=fraction, note=note).model_dump_json() + "\n",
        end="",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
