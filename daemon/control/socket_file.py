"""Makes the socket file through which commands come in, private to its owner, and removes it after
use."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from engines.errors import AttuneError


@contextlib.contextmanager
def hold_socket(path: Path) -> Iterator[socket.socket]:
    """Yield a socket that listens at `path`, and remove it when the block ends.

    Raises AttuneError if the path cannot be bound or another daemon answers there.
    """
    listener = _bind(path)
    try:
        yield listener
    finally:
        path.unlink(missing_ok=True)
        listener.close()


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(0o600)  # within a folder that only its owner can enter
        listener.listen()
    except OSError as error:
        listener.close()
        reason = error.strerror or error  # a path over 107 bytes has no errno
        raise AttuneError(
            f"the control socket {path} cannot be made: {reason}; set control.socket to another"
            " path"
        ) from error
    except AttuneError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket file that a killed daemon left behind, and nothing else. Raises AttuneError
    if another daemon answers there, or if it is another kind of file."""
    if not path.exists():
        return
    if not path.is_socket():
        raise AttuneError(
            f"{path} is in the way of the control socket and is not a socket; move it, or set"
            " control.socket to another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except TimeoutError:  # another process holds it, and is busy
            holder = "unknown"
        else:
            about = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            holder = str(struct.unpack("3i", about)[0])
    raise AttuneError(
        f"another Attune daemon (process {holder}) answers at {path}; stop it, or set"
        " control.socket to another path"
    )
