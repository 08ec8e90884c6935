"""Which Attune this is, and whether it is whole."""

import importlib.metadata
import importlib.util
from pathlib import Path

from engines.errors import AttuneError


def refuse_strangers() -> None:
    """Raises AttuneError where another distribution has put a package of the same name in the way
    of one of ours."""
    home = Path(__file__).resolve().parent.parent
    for name in ("daemon", "engines", "calibration"):
        found = importlib.util.find_spec(name)
        place = Path(found.origin).resolve().parent.parent if found and found.origin else None
        if place != home:
            raise AttuneError(
                f"the package {name} of {home} is shadowed by {place}; install Attune into an"
                " environment of its own"
            )


def version() -> str:
    """Of the installed distribution."""
    try:
        return importlib.metadata.version("attune")
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"
