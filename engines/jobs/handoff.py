"""What the daemon leaves for a service manager's unit to take: which job, and where to tell how it
goes."""

import os
from pathlib import Path

from ..schema import Frozen

REQUEST_NAME = "adapt.job"
"""The file whose appearing starts the unit."""
VARIABLE = "ATTUNE_HANDED_OVER"
"""Set in the environment of a process that took a job: its standard output is the socket."""
STATUS = b'{"status": '
"""How the line begins that tells it."""


class HandedOver(Frozen):
    """The content of that file."""

    job: Path
    socket: Path
    """Where the daemon listens: what is printed goes there, and while it is open the daemon
    lives."""
    log: Path
    """Gets what goes to standard error."""
    environment: dict[str, str]
    """Besides what the unit has: what a child of the daemon's would get."""


def tell_status(status: int) -> None:
    """The last word of a process that took a job: how it leaves, which only a parent would see."""
    if VARIABLE in os.environ:
        os.write(1, b"%s%d}\n" % (STATUS, status))
