"""Tells which version of Attune is installed, and whether its packages are its own."""

import importlib.metadata
import importlib.util
from pathlib import Path

from engines.errors import AttuneError


def refuse_strangers() -> None:
    """Raise AttuneError if a package of the same name, from another distribution, shadows one of
    Attune's."""
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
    """Return the version of the installed distribution, or `uninstalled`."""
    try:
        return importlib.metadata.version("attune")
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"
