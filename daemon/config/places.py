"""Checks folders, files and sockets in the settings, and says where they are by default."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import AfterValidator, BeforeValidator

_SOCKET_BYTES = 107
"""Longest path that a UNIX socket can have, in bytes."""


def absolute(text: str) -> str:
    """Resolve `~` in a path and make it absolute. Raises ValueError if a home folder cannot be
    found."""
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(
            "it names the home of a user that is not known; give an absolute path"
        ) from error


def _given(path: object) -> object:
    if isinstance(path, str) and not path.strip():
        raise ValueError("a path is needed, and this is empty; give one, or leave the key out")
    return path


Place = Annotated[
    Path, BeforeValidator(_given), AfterValidator(lambda path: Path(absolute(str(path))))
]
PlaceOrNone = Annotated[
    str, AfterValidator(lambda text: text if text in ("", "none") else absolute(text))
]


def _fits_a_socket(path: Path) -> Path:
    if len(os.fsencode(path)) > _SOCKET_BYTES:
        raise ValueError(
            f"the path of a socket has at most {_SOCKET_BYTES} bytes, not {len(os.fsencode(path))};"
            " give a shorter one"
        )
    return path


Socket = Annotated[Place, AfterValidator(_fits_a_socket)]

_MACHINE_SOCKET = Path("/run/attune/attune.sock")


def _own_socket() -> Path:
    return (
        Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
        / "attune"
        / "attune.sock"
    )


def _of_the_machine() -> bool:
    """Return whether the defaults are those of the machine's Attune: for root, and for a user who
    runs no Attune of their own while the machine runs one."""
    return os.geteuid() == 0 or (_is_there(_MACHINE_SOCKET) and not _is_there(_own_socket()))


def _is_there(path: Path) -> bool:
    return os.access(path, os.F_OK)  # False too if it may not be looked at, as in a sandbox


def default_state_dir() -> Path:
    """Return the default folder for what was heard and learnt."""
    return Path("/var/lib/attune") if _of_the_machine() else platformdirs.user_state_path("attune")


def default_cache_dir() -> Path:
    """Return the default folder for models and for results that can be computed again."""
    return (
        Path("/var/cache/attune") if _of_the_machine() else platformdirs.user_cache_path("attune")
    )


def default_socket() -> Path:
    """Return the default path of the daemon's control socket."""
    return _MACHINE_SOCKET if _of_the_machine() else _own_socket()
