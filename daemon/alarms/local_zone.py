"""The time zone where the user is."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import tzlocal

logger = logging.getLogger(__name__)

_LINK = "/etc/localtime"


def zone_reader(name: str) -> Callable[[], tzinfo]:
    """Return a function that returns the zone `name`, or if that is empty the system's zone as it
    is now: somebody who travels may change it."""
    if name:
        zone = ZoneInfo(name)
        return lambda: zone
    return _System()


class _System:
    """The zone of the system, read again when it was changed."""

    def __init__(self) -> None:
        self._seen: object = None
        self._zone: tzinfo = UTC

    def __call__(self) -> tzinfo:
        seen = _state()
        if seen != self._seen:
            self._seen = seen
            try:
                self._zone = tzlocal.reload_localzone()
            except (ValueError, OSError, LookupError) as error:
                logger.warning("the system's time zone cannot be read, so it is UTC: %s", error)
                self._zone = UTC
        return self._zone


def _state() -> object:
    """What changes when the zone does."""
    try:
        found = os.lstat(_LINK)
        link = (found.st_mtime_ns, found.st_ino)
    except OSError:
        link = None
    return os.environ.get("TZ"), link
