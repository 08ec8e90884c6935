"""Runs a job in several training processes as one child: torchrun's launcher settles as a child
does, and its workers die with it.

Knows neither jobs nor training.
"""

import os
import sys

from engines.jobs.child_process import PARENT_VARIABLE, settle_as_child
from engines.jobs.programs import CALIBRATION_JOB


def main() -> None:
    """Run the job in the file that the second argument names, in as many processes as the first one
    says."""
    settle_as_child()
    # The workers' parent is this process, not the one that started it.
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    from torch.distributed.run import main as launch  # large

    processes, job = sys.argv[1:]
    launch(["--standalone", f"--nproc-per-node={processes}", "-m", CALIBRATION_JOB, job])


if __name__ == "__main__":
    main()
