"""Several training processes as one child: torchrun's launcher, which settles as a child does and
whose workers die with it.

Knows neither jobs nor training.
"""

import os
import sys

from engines.jobs.child_process import PARENT_VARIABLE, settle_as_child
from engines.jobs.programs import CALIBRATION_JOB


def main() -> None:
    """Run the job in the file named second in as many processes as are named first."""
    settle_as_child()
    # The workers' parent is this process, not the one that started it.
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    from torch.distributed.run import main as launch  # large

    processes, job = sys.argv[1:]
    launch(["--standalone", f"--nproc-per-node={processes}", "-m", CALIBRATION_JOB, job])


if __name__ == "__main__":
    main()
