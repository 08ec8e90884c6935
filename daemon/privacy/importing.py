"""Imports an archive into a state folder that holds nothing yet. Either all of it is there
afterwards, or nothing: it is put together in a folder beside, checked, and then moved; killed in
the middle of that, it goes on at the next start."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from engines.encryption.files import write_file
from engines.encryption.folders import plainly, protect, ring_of
from engines.encryption.key_file import has_keys
from engines.errors import AttuneError
from engines.files import point_atomically, sync_folders, write_atomically
from engines.generations.folder import BASE, WITHDRAWN, Damaged, list_generations
from engines.generations.pointers import make_view

from ..config.settings import Settings
from ..store.database import Database, encrypt_database
from ..store.schema import migrate
from ..store.sqlite import database_key, sqlite3
from ..store.store import DATABASE
from ..users.places import FOLDER as USERS
from .archive import ArchiveError, Manifest, read_archive
from .export import DATABASE_NAME, POINTERS, SCRATCH

_BEING_READ, _READY = ".import", ".import-ready"
_POINTERS = "pointers.txt"
_MOST_FILE_BYTES = 2 << 30
_POINTER = re.compile(rf"({USERS}/[1-9]\d{{0,5}}/)?({'|'.join(POINTERS)})")
_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        r"database\.db",
        r"audio/[0-9a-f]{32}\.flac",
        r"generations/\d{4}/([A-Za-z0-9_-]+/)?[A-Za-z0-9_][A-Za-z0-9._-]*",
        r"generations/withdrawn",
        r"wake/own\.safetensors",
        r"receipts/[A-Za-z0-9-]+\.json",
        r"settings/[A-Za-z0-9_-]+\.toml",
    )
)
"""The names that files of an archive may have."""


def import_archive(
    settings: Settings,
    source: IO[bytes],
    name: str,
    passphrase: str,
    report: Callable[[float], None] = lambda part: None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Import the archive `source`, called `name` in messages. Returns its manifest, and the files
    of settings in it by name, which are not put anywhere. The caller holds the state folder, has
    opened its keys, and nothing in it is open.

    Raises AttuneError, with everything as it was, if something is stored there already, the archive
    is refused, or the disk is full.
    """
    state = settings.state_dir
    refuse_used(state)
    beside = state / _BEING_READ
    found: dict[str, bytes] = {}
    try:
        _remove(beside)
        beside.mkdir(mode=0o700)
        ring = ring_of(state / "audio")
        protect([beside / part for part in ("audio", "generations", "wake")], lambda: ring)
        protect([beside / "generations" / "withdrawn"], plainly)
        progress = [0, 1]

        def begin(manifest: Manifest) -> None:
            progress[1] = _check(manifest, name, state)

        def take(member: str, content: bytes) -> None:
            if member.startswith("settings/"):
                found[member.removeprefix("settings/")] = content
            else:
                path = beside / member
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                plain = member == DATABASE_NAME  # it has a key of its own
                (write_atomically if plain else write_file)(path, content)
            progress[0] += len(content)
            report(progress[0] / progress[1])

        manifest = read_archive(source, name, passphrase, begin, take)
        _check_database(beside / DATABASE_NAME, manifest, name, state)
        _check_generations(beside / "generations", manifest, name)
        lines = "".join(f"{link} {number:04d}\n" for link, number in manifest.pointers.items())
        write_atomically(beside / _POINTERS, lines.encode())
        sync_folders(beside)
        _remove(state / _READY)
        beside.rename(state / _READY)
        sync_folders(state)
    except OSError as error:
        raise AttuneError(
            f"the import cannot be written: {error.filename or state}: {error.strerror}; nothing"
            " was imported"
        ) from error
    finally:
        with suppress(OSError):
            _remove(beside)
    finish_import_or_tell(state)
    return manifest, found


def finish_import(state: Path) -> bool:
    """Move what an import has ready to its place; returns whether there was something. May be
    called again. The caller holds the state folder. Raises OSError."""
    for left in (state / _BEING_READ, *state.glob(f"{SCRATCH}*")):  # of what was killed
        _remove(left)
    ready = state / _READY
    if not ready.is_dir():
        return False
    _keep_own(state, ready)
    for folder in ("audio", "wake", "receipts", "generations"):
        (state / folder).mkdir(mode=0o700, exist_ok=True)
        for path in sorted((ready / folder).glob("*")):
            target = state / folder / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    for line in (ready / _POINTERS).read_text().splitlines():
        link, number = line.split()
        if (whose := (state / link).parent) != state:  # another user's than the first
            make_view(state / "generations", whose / "generations")
        point_atomically(state / link, f"generations/{number}")
    if (database := ready / DATABASE_NAME).exists():  # last: it says that there is something
        database.replace(state / DATABASE)
    sync_folders(state)
    ready.rename(state / _BEING_READ)  # half a folder would not be ready
    _remove(state / _BEING_READ)
    return True


def _keep_own(state: Path, ready: Path) -> None:
    """Take nothing from this installation: the receipts that come get other names, and what was
    withdrawn here stays withdrawn. May be called again."""
    for receipt in sorted((ready / "receipts").glob("[0-9]*.json")):
        receipt.rename(receipt.with_name(f"imported-{receipt.name}"))
    lists = [folder / "generations" / WITHDRAWN for folder in (state, ready)]
    lines = [path.read_text() for path in lists if path.is_file()]
    if len(lines) > 1:
        merged = dict.fromkeys("".join(lines).splitlines(keepends=True))
        write_atomically(lists[1], "".join(merged).encode())


def finish_import_or_tell(state: Path) -> None:
    """Call `finish_import`. Raises AttuneError if the disk is full or cannot be written."""
    try:
        finish_import(state)
    except OSError as error:
        raise AttuneError(
            f"an import is not finished: {error.filename or state}: {error.strerror}; nothing of it"
            " is lost: free the disk and start Attune again"
        ) from error


def refuse_used(state: Path) -> None:
    """Raise AttuneError if anything of a user is stored, or the folder is another account's."""
    if state.is_dir() and state.stat().st_uid != os.geteuid():
        raise AttuneError(
            f"{state} belongs to another account, which could not read what is imported; import as"
            " that account (for a service: `sudo -u attune attune data import`)"
        )
    database = state / DATABASE
    if not database.exists():
        return
    if not has_keys(state):
        raise AttuneError(
            f"{state} holds what an earlier release stored; import into another state_dir, or start"
            " Attune once, which encrypts it"
        )
    with Database.guarding(database), closing(Database(database)) as opened:
        counts = {
            table: opened.rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608
            for table in ("utterances", "turns", "rounds", "phrases", "alarms", "list_items")
        }
    if used := [f"{count} {table}" for table, count in counts.items() if count]:
        raise AttuneError(
            f"{state} holds {', '.join(used)} already; import into another state_dir, or forget"
            " everything first (`attune data forget --all`)"
        )


def _check(manifest: Manifest, name: str, state: Path) -> int:
    """Raise ArchiveError for what no archive has; returns the bytes of all files, at least 1."""
    names = [one.name for one in manifest.files]
    if DATABASE_NAME not in names or len(set(names)) != len(names):
        raise ArchiveError(f"{name} is refused: its manifest is not one that Attune writes")
    for one in manifest.files:
        base = one.name.startswith(f"generations/{BASE:04d}/")
        if base or not any(known.fullmatch(one.name) for known in _NAMES):
            raise ArchiveError(f"{name} is refused: {one.name!r} is no name for a file in it")
        if not 0 <= one.size_bytes <= _MOST_FILE_BYTES:
            raise ArchiveError(f"{name} is refused: {one.name} has {one.size_bytes} bytes")
    for link in manifest.pointers:
        if not _POINTER.fullmatch(link):
            raise ArchiveError(f"{name} is refused: there is no pointer {link!r}")
    numbers = {int(n.split("/")[1]) for n in names if re.match(r"generations/\d{4}/", n)}
    if astray := set(manifest.pointers.values()) - numbers - {BASE}:
        raise ArchiveError(f"{name} is refused: it has no generation {min(astray)}")
    whole = sum(one.size_bytes for one in manifest.files)
    free = shutil.disk_usage(state).free
    if whole > free:
        raise AttuneError(
            f"{name} takes {whole / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free in {state}; free"
            " some"
        )
    return whole or 1


def _check_database(path: Path, manifest: Manifest, name: str, state: Path) -> None:
    """Encrypt the database with this installation's key, and open it, which brings it to the newest
    form."""
    ring = ring_of(state / DATABASE)
    key = None if ring is None else database_key(ring.current)
    try:
        encrypt_database(path, bytes.fromhex(manifest.database_key), key)
        migrate(path, key=key).close()
    except (sqlite3.Error, ValueError) as error:
        if "disk is full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(state)) from error
        raise ArchiveError(f"{name} is refused: its database cannot be opened ({error})") from error


def _check_generations(root: Path, manifest: Manifest, name: str) -> None:
    for one in list_generations(root):
        if isinstance(one, Damaged):
            raise ArchiveError(f"{name} is refused: {one.reason}")


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
