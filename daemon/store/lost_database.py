"""Notices that the database of a state folder that was in use is gone, before a new one takes its
place. Knows no table."""

from pathlib import Path

from engines.generations.folder import BASE

_TOLD = (
    "labels and turns are gone; the audio that is still there is taken up. If you have a copy of"
    " attune.db, put it back while Attune is stopped"
)


def preserved_loss(path: Path, audio_folder: Path) -> str:
    """What was lost, for people; empty where the database at `path` is there, or nothing was ever
    kept beside it.

    SQLite would delete a write-ahead log without a database, which may hold the latest rows: it is
    put aside. Raises OSError.
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
    """Whether a round ever ended there with a generation that is served: its row is missing,
    too."""
    try:
        return (state_dir / "current").readlink().name != f"{BASE:04d}"
    except OSError:  # no such pointer, or no link
        return False
