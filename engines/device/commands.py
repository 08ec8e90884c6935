"""Runs commands that take a text or nothing and print what they make, within bounds."""

import shutil
from collections.abc import Sequence

from ..errors import AttuneError
from .process_time import HungError, run_to_its_end

LONGEST_RUN_SECONDS = 60.0
"""The most processor time, and the most sleep, of a run."""


def require(name: str) -> None:
    """Raises AttuneError where the command `name` is not installed."""
    if shutil.which(name) is None:
        raise AttuneError(f"{name} is not installed; run `apt-get install {name}`")


def run_command(command: Sequence[str], given: bytes = b"") -> bytes:
    """Run `command` with `given` on its standard input, and return what it prints.

    Raises AttuneError where it is not installed, fails, hangs, or prints nothing.
    """
    require(command[0])
    try:
        done = run_to_its_end(
            command,
            given,
            processor_seconds=LONGEST_RUN_SECONDS,
            asleep_seconds=LONGEST_RUN_SECONDS,
        )
    except HungError as error:
        raise AttuneError(f"{command[0]} {error}") from None
    if done.returncode != 0 or not done.stdout:
        raise AttuneError(
            f"{command[0]} failed ({done.stderr.decode(errors='replace').strip()[:200]})"
        )
    return done.stdout
