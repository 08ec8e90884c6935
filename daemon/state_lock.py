"""The lock that keeps a second daemon off the same state."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from engines.errors import AttuneError


@contextlib.contextmanager
def hold_state(state_dir: Path) -> Iterator[None]:
    """Own `state_dir` until the block ends. Raises AttuneError if another process owns it already,
    and names that process."""
    path = state_dir / "attune.lock"
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise AttuneError(
            f"the state folder {state_dir} cannot be used: {error.strerror}; set state_dir to"
            " another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AttuneError(_no_lock(error, file, state_dir)) from error
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError as error:
            raise AttuneError(
                f"{path} cannot be written: {error.strerror}; free its disk, or set state_dir to"
                " another folder"
            ) from error
        yield


def _no_lock(error: OSError, file: IO[str], state_dir: Path) -> str:
    """Say why the lock on `file` cannot be taken, and what to do, for the user."""
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
        file.seek(0)
        holder = file.read(20).strip() or "unknown"
        return (
            f"another Attune daemon (process {holder}) already uses {state_dir}; stop it, or set"
            " another state_dir"
        )
    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
        return (
            f"this file system has no locks ({state_dir}: {error.strerror}), so two daemons could"
            " not be kept apart; set state_dir to a folder on a local disk"
        )
    return (
        f"{state_dir} cannot be locked: {error.strerror}; set state_dir to a folder on another disk"
    )
