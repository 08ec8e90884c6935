"""Encrypts what was stored before there was encryption, once, at the first start of a version that
has it. Killed at any instant, it goes on at the next start.

First everything gets a second name in a folder of its own, which stays for a week: so no version of
what is stored is ever the only one. Then file by file is encrypted and renamed into its place.
"""

import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from engines.encryption.files import UnreadableError, encrypt_again
from engines.encryption.key_file import StoredKeys, write_keys
from engines.errors import AttuneError
from engines.files import sync_folders

from ..config.settings import Settings
from ..store.database import Database, encrypt_database, is_plain
from ..store.sqlite import database_key, sqlite3
from .encrypted_files import encrypted_files

logger = logging.getLogger(__name__)

BACKUP = "before-encryption"
_SINCE = "since"
_KEPT_SECONDS = 7 * 86_400.0


def take_over(settings: Settings, keys: StoredKeys) -> str:
    """Encrypt what is stored and is not encrypted yet. Returns what the user has to know; empty if
    there was nothing. The caller holds the state folder, and nothing in it is open.

    Raises AttuneError if the disk has no room for it or cannot be written; what was stored is then
    as it was, or encrypted.
    """
    if keys.taken_over:
        return ""
    state = settings.state_dir
    try:
        database = state / "attune.db"
        files = [path for path in encrypted_files(settings) if not _is_cached(settings, path)]
        found = is_plain(database) or any(files)
        if found:
            _check_room(state, [*files, database])
            _back_up(state, [*files, database])
            files = list(encrypted_files(settings))  # the features are of this state, too
        if is_plain(database):
            with Database.guarding(database):
                encrypt_database(database, None, database_key(keys.ring.current))
        for path in files:
            try:
                encrypt_again(path, plain_too=True)
            except UnreadableError as error:  # it is told again by whoever reads it
                logger.warning("a file is left as it is: %s", error)
        write_keys(state, keys.ring, keys.opened_with, taken_over=True)
    except OSError as error:
        raise AttuneError(
            f"what is stored cannot be encrypted: {error.filename or state}: {error.strerror};"
            " nothing is lost: free the disk, or see to it that Attune's user may write there, and"
            " start it again"
        ) from error
    if not found:
        return ""
    return (
        "what was stored before is encrypted now; a copy that is not stays in"
        f" {state / BACKUP} for 7 days: remove it before, once you have seen that all is there"
    )


def expire_backup(state: Path, service_seconds: float) -> bool:
    """Remove the copy that is not encrypted, once it was there for a week of the service clock.
    Returns whether it went. Raises OSError."""
    since = state / BACKUP / _SINCE
    if not since.parent.is_dir():
        return False
    try:
        began = float(since.read_text())
    except (OSError, ValueError):  # the first time that somebody looks
        since.write_text(str(service_seconds))
        return False
    if service_seconds - began < _KEPT_SECONDS:
        return False
    remove_backup(state)
    return True


def remove_backup(state: Path) -> None:
    """Remove the copy that is not encrypted, if there is one. Raises OSError."""
    for folder in (state / BACKUP, state / f".{BACKUP}"):
        if folder.is_dir():
            shutil.rmtree(folder)


def _is_cached(settings: Settings, path: Path) -> bool:
    return settings.cache_dir in path.parents and settings.state_dir not in path.parents


def _check_room(state: Path, files: Iterable[Path]) -> None:
    """Raise AttuneError if the disk has no room for what is written beside the copy."""
    wanted = sum(path.stat().st_size for path in files if path.exists())
    free = shutil.disk_usage(state).free
    if wanted > free:
        raise AttuneError(
            f"what is stored is to be encrypted once, and that needs {wanted / 1e6:.0f} MB of disk"
            f" in {state}, where {free / 1e6:.0f} MB are free; free some and start Attune again"
        )


def _back_up(state: Path, files: Iterable[Path]) -> None:
    """Give each of `files` a second name, in a folder that is there whole or not at all."""
    there = state / BACKUP
    if there.is_dir():
        return
    database = state / "attune.db"
    if database.exists():  # what stands in the write-ahead log, too
        with Database.guarding(database), closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    beside = state / f".{BACKUP}"
    if beside.is_dir():
        shutil.rmtree(beside)
    beside.mkdir(mode=0o700)
    for path in files:
        if path.exists():
            copy = beside / path.relative_to(state)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, copy)
            except OSError:  # a file system without second names
                shutil.copy2(path, copy)
    sync_folders(beside)
    beside.rename(there)
    sync_folders(there)
