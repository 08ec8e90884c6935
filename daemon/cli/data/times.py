"""Reads the times that `attune data` takes."""

import re
import time
from datetime import datetime, timedelta

from engines.errors import AttuneError

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(m|h|d)")


def read_time(text: str | None) -> float | None:
    """Read "2h" or "3d" (ago), "today", "yesterday", a date, or a date and time where the user is;
    None stays None. Returns seconds since the epoch. Raises AttuneError if it is none of these."""
    if text is None:
        return None
    asked = text.strip().lower()
    if (ago := _AGO.fullmatch(asked)) is not None:
        return time.time() - float(ago[1]) * _UNITS[ago[2]]
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    if asked in ("today", "yesterday"):
        return (midnight - timedelta(days=asked == "yesterday")).timestamp()
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise AttuneError(
            f"{text!r} is no time; give 30m, 2h, 3d, today, yesterday, 2026-11-30, or"
            " 2026-11-30T17:00"
        ) from error
