"""The hand-off of a job to a service manager's unit: which job it is, and where to report
progress."""

import os
from pathlib import Path

from ..schema import Frozen
from .child_process import HANDED_OVER_VARIABLE

REQUEST_NAME = "adapt.job"
"""The name of the file whose appearing starts the unit."""
STATUS = b'{"status": '
"""The beginning of the line that reports the exit status."""


class HandedOver(Frozen):
    """The content of the file that starts the unit."""

    job: Path
    socket: Path
    """The socket on which the daemon listens: standard output goes there, and while it is open the
    daemon lives."""
    log: Path
    """The file that gets standard error."""
    environment: dict[str, str]
    """The variables that a child of the daemon would have, in addition to those of the unit."""


def tell_status(status: int) -> None:
    """Report the exit status of a process that took a handed-off job, as its last word: only a
    parent would see it otherwise."""
    if HANDED_OVER_VARIABLE in os.environ:
        os.write(1, b"%s%d}\n" % (STATUS, status))
