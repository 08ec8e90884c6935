"""Exports an installation, while a daemon runs or not: as an archive that another one takes up, or
as plain recordings with their texts, for other programs."""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from engines.encryption.files import UnreadableError, read_file
from engines.errors import AttuneError
from engines.files import sync_folder, write_beside
from engines.generations.folder import BASE, CARD, WITHDRAWN, Generation, list_generations
from engines.generations.pointers import Pointer

from ..config.settings import Settings
from ..installation import version
from ..store.database import Database
from ..store.sqlite import copy_database, fitting_key
from ..store.store import DATABASE, Store
from ..users.places import FOLDER as USERS
from .archive import ListedFile, Manifest, write_archive

logger = logging.getLogger(__name__)

POINTERS: tuple[Pointer, ...] = ("current", "previous", "shadow")
DATABASE_NAME = "database.db"
SCRATCH = ".export-"
"""The beginning of the name of a folder in which an export puts a copy of the database."""
_ID = re.compile("[0-9a-f]{32}")
_CHAPTERS = ("enrolled", "corrected", "recognised", "")
"""Where texts come from: the chapters of a plain export."""


@dataclass(frozen=True)
class Exported:
    """What was exported."""

    path: Path
    files: int
    size_bytes: int


def export_archive(
    settings: Settings,
    settings_files: Iterable[Path],
    path: Path,
    passphrase: str,
    report: Callable[[float], None] = lambda part: None,
) -> Exported:
    """Write an archive of everything that is stored to the new file `path`, which only its owner
    can read. `report` is called with the part that is done. Raises AttuneError if there is nothing,
    the disk is full, or something is changed meanwhile."""
    state = settings.state_dir
    if not (state / DATABASE).is_file():
        raise AttuneError(f"nothing is stored in {state}, so there is nothing to export")
    _refuse_existing(path)
    key = os.urandom(32)
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=state) as scratch:
            copy = Path(scratch, DATABASE_NAME)
            with Database.guarding(state / DATABASE):
                copy_database(state / DATABASE, fitting_key(state / DATABASE), copy, key)
            readers = {DATABASE_NAME: copy.read_bytes, **_readers(settings, settings_files)}
            listed = [one for name, read in readers.items() if (one := _listed(name, read))]
            manifest = Manifest(
                attune=version(),
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                database_key=key.hex(),
                pointers=_pointers(state),
                files=tuple(listed),
            )
            with write_beside(path) as beside:
                handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as target:
                    files = _contents(listed, readers, report)
                    write_archive(target, passphrase, manifest.model_dump_json().encode(), files)
    except OSError as error:
        raise AttuneError(
            f"the export cannot be written: {error.filename or path}: {error.strerror}"
        ) from error
    return Exported(path, len(listed), path.stat().st_size)


def _readers(settings: Settings, settings_files: Iterable[Path]) -> dict[str, Callable[[], bytes]]:
    """What reads each file, by its name in the archive."""
    state = settings.state_dir
    paths = sorted(path for path in (state / "audio").glob("*.flac") if _ID.fullmatch(path.stem))
    for one in list_generations(settings.generations):
        if isinstance(one, Generation) and one.number != BASE:
            paths += [one.folder / name for name in (CARD, *sorted(one.card.files))]
    paths += [path for path in (state / "wake" / "own.safetensors",) if path.is_file()]
    found: dict[str, Callable[[], bytes]] = {
        str(path.relative_to(state)): partial(read_file, path) for path in paths
    }
    plain = [state / "generations" / WITHDRAWN, *sorted((state / "receipts").glob("*.json"))]
    found |= {str(path.relative_to(state)): path.read_bytes for path in plain if path.is_file()}
    return found | {f"settings/{path.name}": path.read_bytes for path in settings_files}


def _listed(name: str, read: Callable[[], bytes]) -> ListedFile | None:
    """The entry of a file; None for one that cannot be read any more: the rest is worth keeping."""
    try:
        content = read()
    except (UnreadableError, FileNotFoundError) as error:
        logger.warning("a file is left out: %s", error)
        return None
    digest = hashlib.sha256(content).hexdigest()
    return ListedFile(name=name, size_bytes=len(content), sha256=digest)


def _contents(
    listed: list[ListedFile],
    readers: dict[str, Callable[[], bytes]],
    report: Callable[[float], None],
) -> Iterator[tuple[str, bytes]]:
    """The listed files with their contents. Raises AttuneError if one is not as it was listed."""
    whole, done = sum(one.size_bytes for one in listed) or 1, 0
    for one in listed:
        content = readers[one.name]()
        if hashlib.sha256(content).hexdigest() != one.sha256:
            raise AttuneError(f"{one.name} was changed meanwhile; export again")
        yield one.name, content
        done += one.size_bytes
        report(done / whole)


def _pointers(state: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    there = list_generations(state / "generations")
    whole = {f"{one.number:04d}" for one in there if isinstance(one, Generation)}
    folders = [state, *sorted((state / USERS).glob("[0-9]*"))]
    for link in [folder / name for folder in folders for name in POINTERS]:
        if link.is_symlink() and link.readlink().name in whole:
            found[str(link.relative_to(state))] = int(link.readlink().name)
    return found


def export_plain(settings: Settings, folder: Path) -> Exported:
    """Write every recording as FLAC, and its text, to the new folder `folder`: in the layout of
    LibriSpeech (a speaker for each user, and 0 for other voices and where it is not clear; a
    chapter for each origin of texts; `1-1.trans.txt`), with a
    `manifest.jsonl` that `attune enroll` reads, and all that is known of each in `details.jsonl`.
    What is there can be read by everybody who can read the folder. Raises AttuneError as
    `export_archive`."""
    if not (settings.state_dir / DATABASE).is_file():
        raise AttuneError(
            f"nothing is stored in {settings.state_dir}, so there is nothing to export"
        )
    _refuse_existing(folder)
    beside = folder.with_name(f".{folder.name}.partial")
    try:
        beside.mkdir(mode=0o700, parents=True)
        rows = []
        with closing(Store(settings.state_dir)) as store:
            for number, (path, row) in enumerate(_plain_rows(store)):
                chapter = 1 + _CHAPTERS.index(str(row["origin"]))
                speaker = str(row.pop("speaker"))
                name = f"{speaker}-{chapter}-{number:04d}"
                place = beside / speaker / str(chapter)
                place.mkdir(parents=True, exist_ok=True)
                try:
                    (place / f"{name}.flac").write_bytes(read_file(path))
                except (FileNotFoundError, UnreadableError) as error:
                    logger.warning("a recording is left out: %s", error)  # or forgotten meanwhile
                    continue
                if row["text"]:
                    listed = place / f"{speaker}-{chapter}.trans.txt"
                    with listed.open("a", encoding="utf-8") as texts:
                        texts.write(f"{name} {str(row['text']).upper()}\n")
                rows.append({"audio": f"{speaker}/{chapter}/{name}.flac", **row})
        labelled = [{key: row[key] for key in ("audio", "text")} for row in rows if row["text"]]
        for name, listed_rows in (("manifest.jsonl", labelled), ("details.jsonl", rows)):
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed_rows)
            (beside / name).write_text(lines, encoding="utf-8")
        beside.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise AttuneError(
            f"the export cannot be written: {error.filename or folder}: {error.strerror}"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    return Exported(folder, len(rows), size)


def _plain_rows(store: Store) -> Iterator[tuple[Path, dict[str, object]]]:
    rows = store.rows(
        "SELECT u.audio, u.seconds, u.created_at, coalesce(c.text, ''), coalesce(u.label_origin,"
        " ''), u.label_confidence, coalesce(u.user, 0), coalesce(s.name, '') FROM utterances u LEFT"
        " JOIN users s ON s.id = u.user LEFT JOIN chosen_labels c ON c.utterance = u.id"
        " ORDER BY u.service_at, u.rowid"
    )
    for audio, seconds, created_at, text, origin, confidence, speaker, user in rows:
        at = datetime.fromtimestamp(created_at, UTC).isoformat(timespec="seconds")
        about = {"text": text, "seconds": seconds, "created_at": at, "origin": origin}
        about |= {"confidence": confidence, "user": user, "speaker": speaker}
        yield store.audio_folder / audio, about


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise AttuneError(f"{path} exists; give the name of a new one")
