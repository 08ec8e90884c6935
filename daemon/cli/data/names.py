"""The names of recordings on the command line: the beginnings of their ids."""

import re

from engines.errors import AttuneError


def checked_name(name: str) -> str:
    """Raises AttuneError if `name` cannot be the beginning of a recording's name."""
    if not re.fullmatch(r"[0-9a-f]{4,32}", name):
        raise AttuneError(
            f"{name!r} is no recording: their names have 4 to 32 of the digits 0 to 9 and a to f;"
            " `attune data list` shows them"
        )
    return name
