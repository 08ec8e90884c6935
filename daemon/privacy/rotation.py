"""Encrypts everything with a new data key while the daemon serves. Killed at any instant, it goes
on at the next start: until the end both keys are there, and files are read with either."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from engines.encryption.files import UnreadableError, encrypt_again, key_id_of
from engines.encryption.key_file import StoredKeys, read_keys, write_keys
from engines.encryption.keys import DataKey, KeyRing
from engines.errors import AttuneError

from ..config.installation_key import installation_keys, use_ring
from ..config.settings import Settings
from ..store.store import Store
from .encrypted_files import encrypted_files

logger = logging.getLogger(__name__)


class KeyRotation:
    """What changes the data key of a running daemon. Safe to use from several threads."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """As long as `alone` lasts, no round runs, and nothing is removed."""
        self._settings = settings
        self._store = store
        self._alone = alone
        self.problem = ""
        """What was not encrypted with the new key yet, for the user; empty if nothing is left."""

    def rotate(self) -> int:
        """Encrypt everything with a new key, and drop the old one. Returns how many files were
        encrypted again. Raises AttuneError if the disk is full, or a round does not end; what is
        not done yet is done later."""
        with self._alone():
            keys = self._keys()
            self._use(keys, KeyRing(DataKey.new(), keys.ring.all))
            return self._finish()

    def finish_left(self) -> int:
        """Finish what could not be finished before; returns how many files there were. Raises
        AttuneError as `rotate`."""
        if not self._keys().ring.older:
            self.problem = ""
            return 0
        with self._alone():
            return self._finish()

    def _finish(self) -> int:
        """Encrypt what has an older key, and note what is left."""
        self.problem = "not everything has the new data key yet: that goes on within the hour"
        changed = self._encrypt_all()
        self.problem = ""
        return changed

    def _encrypt_all(self) -> int:
        keys = self._keys()
        try:
            changed, again = 0, 1
            while again:  # what was being written when the new key came may have the old one
                again = self._store.change_keys(_again)
                again += sum(_again(path) for path in encrypted_files(self._settings))
                changed += again
        except OSError as error:
            raise AttuneError(
                f"{error.filename or 'a file'} cannot be written: {error.strerror}; not"
                " everything has the new key yet, and the old one stays: that is tried again within"
                " the hour"
            ) from error
        wanted = {key_id_of(path): path for path in self._there()}
        wanted.pop(None, None)
        if unknown := wanted.keys() - {key.id for key in keys.ring.all}:
            path = wanted[min(unknown, key=str)]
            raise AttuneError(
                f"{path} needs a data key that is not there, so none is dropped: put back the"
                " keys.json or keys.copy.json that has it, or remove the file if it is damaged"
            )
        # What is damaged cannot be encrypted again: its key stays, until it is removed or mended.
        kept = tuple(key for key in keys.ring.older if key.id in wanted)
        self._use(keys, KeyRing(keys.ring.current, kept))
        logger.info("%d files have the new key", changed)
        return changed

    def _there(self) -> Iterator[Path]:
        """What is stored; others use the folder of cached features, too."""
        state = self._settings.state_dir
        return (path for path in encrypted_files(self._settings) if state in path.parents)

    def _keys(self) -> StoredKeys:
        return read_keys(self._settings.state_dir, installation_keys(self._settings))

    def _use(self, keys: StoredKeys, ring: KeyRing) -> None:
        try:
            write_keys(self._settings.state_dir, ring, keys.opened_with, taken_over=keys.taken_over)
        except OSError as error:
            raise AttuneError(
                f"{error.filename or 'keys.json'} cannot be written: {error.strerror}; the key"
                " was not changed"
            ) from error
        use_ring(self._settings, ring)


def _again(path: Path) -> bool:
    with suppress(FileNotFoundError):  # it was removed meanwhile
        try:
            return encrypt_again(path)
        except UnreadableError as error:  # no key opens it
            logger.warning("a file is left as it is: %s", error)
    return False
