"""Notices that the database of a used state folder is gone, before a new one replaces it. Knows no
table."""

from pathlib import Path

from engines.generations.folder import BASE

_TOLD = (
    "labels and turns are gone; the audio that is still there becomes utterances again. If you have"
    " a copy of attune.db, put it back while Attune is stopped"
)


def preserved_loss(path: Path, audio_folder: Path) -> str:
    """Say what was lost, for the user; empty if the database at `path` is there, or if nothing was
    ever stored beside it.

    A write-ahead log without its database is put aside: it may hold the latest rows, and SQLite
    would delete it. Raises OSError.
    """
    log = path.with_name(f"{path.name}-wal")
    there = path.exists()
    if there and path.stat().st_size > 0:
        return ""
    aside = ""
    if log.exists() and log.stat().st_size > 0:
        kept = next(
            name
            for number in range(1, 1000)
            if not (name := path.with_name(f"{log.name}.lost-{number}")).exists()
        )
        log.replace(kept)
        aside = f" Its write-ahead log was put aside as {kept.name}."
    if there:
        return f"the database {path} was empty: {_TOLD}.{aside}"
    was_used = aside or _was_promoted(path.parent) or any(audio_folder.glob("*.flac"))
    return f"the database {path} was missing: {_TOLD}.{aside}" if was_used else ""


def _was_promoted(state_dir: Path) -> bool:
    """Return whether a generation was ever promoted in this folder: its row is missing then,
    too."""
    try:
        return (state_dir / "current").readlink().name != f"{BASE:04d}"
    except OSError:  # the pointer does not exist, or is not a link
        return False
