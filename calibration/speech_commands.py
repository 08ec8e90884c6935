"""Runs the synthesizers that are commands. Knows no voices."""

import shutil
import subprocess
from collections.abc import Sequence

from engines.errors import AttuneError

LONGEST_RUN_SECONDS = 60.0
"""Of wall time: a machine that was suspended in between leaves a sentence out."""


def require(name: str) -> None:
    """Raises AttuneError where the synthesizer `name` is not installed."""
    if shutil.which(name) is None:
        raise AttuneError(f"{name} is not installed; run `apt-get install {name}`")


def run_command(command: Sequence[str], given: bytes = b"") -> bytes:
    """What `command` prints when it is `given` something to read.

    Raises AttuneError where it is not installed, fails, hangs, or prints nothing.
    """
    require(command[0])
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=LONGEST_RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise AttuneError(f"{command[0]} said nothing for {LONGEST_RUN_SECONDS:g} s") from None
    if done.returncode != 0 or not done.stdout:
        raise AttuneError(f"{command[0]} failed ({done.stderr.decode(errors='replace').strip()[:200]})")
    return done.stdout
