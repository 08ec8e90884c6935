"""Folders, files and sockets among the settings: how they are checked, and where they are by
default."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import AfterValidator, BeforeValidator

_SOCKET_BYTES = 107
"""Longest path that a UNIX socket can have."""


def absolute(text: str) -> str:
    """`text`, a path of a setting, without `~` and from the root on. Raises ValueError for a home
    that cannot be found."""
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError(
            "it names the home of a user that is not known; give a path from the root on"
        ) from error


def _given(path: object) -> object:
    if isinstance(path, str) and not path.strip():
        raise ValueError("a path is needed, and this is none; give one, or leave the key out")
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
    """Whether the Attune that the machine runs is meant: by root, and by a user who has none of
    their own where there is one."""
    return os.geteuid() == 0 or (_is_there(_MACHINE_SOCKET) and not _is_there(_own_socket()))


def _is_there(path: Path) -> bool:
    return os.access(path, os.F_OK)  # also where it may not be looked at, as in a service's sandbox


def default_state_dir() -> Path:
    """Where what was heard and learned is kept."""
    return Path("/var/lib/attune") if _of_the_machine() else platformdirs.user_state_path("attune")


def default_cache_dir() -> Path:
    """Where models and what can be computed again are kept."""
    return (
        Path("/var/cache/attune") if _of_the_machine() else platformdirs.user_cache_path("attune")
    )


def default_socket() -> Path:
    """Where commands reach the daemon."""
    return _MACHINE_SOCKET if _of_the_machine() else _own_socket()
