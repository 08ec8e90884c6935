"""Which folders hold encrypted files: what is written below one is encrypted, and what is read
there must be. Knows no format.

That is a property of a place, as with an encrypted file system, so that none of those who write a
file there can forget it, and a plain file that somebody puts there is not taken for one of ours.
"""

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from .keys import KeyRing

Find = Callable[[], KeyRing | None]
"""Returns the keys; None if there are none yet, and files are plain."""

_lock = threading.Lock()
_protected: dict[Path, Find] = {}


def protect(paths: Iterable[Path], find: Find) -> None:
    """Have files below `paths` (or at them) encrypted with the keys that `find` returns, which is
    called when they are first needed. Replaces what was said of these paths before."""
    with _lock:
        for path in paths:
            _protected[path.absolute()] = find


def ring_of(path: Path) -> KeyRing | None:
    """The keys of the file `path`; None where files are plain. Raises AttuneError where the keys
    cannot be opened."""
    path = path.absolute()
    for place in (path, *path.parents):
        if place in _protected:
            return _protected[place]()
    return None


def packed_for(path: Path) -> bytes | None:
    """The keys of `path`, and the places that need them, for another process; None where files are
    plain."""
    ring = ring_of(path)
    if ring is None:
        return None
    with _lock:
        entries = list(_protected.items())
    places = [str(place) for place, find in entries if find() == ring]
    plain = [str(place) for place, find in entries if find is plainly]
    return json.dumps({"places": places, "plain": plain, "keys": ring.packed().decode()}).encode()


def protect_as_packed(packed: bytes) -> None:
    """Protect here what `packed_for` named. Raises ValueError where it is not that."""
    try:
        given = json.loads(packed)
        ring = KeyRing.unpacked(given["keys"].encode())
        protect(map(Path, given["places"]), lambda: ring)
        protect(map(Path, given["plain"]), plainly)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("these are no keys") from error


def plainly() -> None:
    """The keys of a place whose files are for everybody, in a folder that holds encrypted ones."""
