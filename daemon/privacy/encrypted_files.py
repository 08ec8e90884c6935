"""Which files of an installation are to be encrypted."""

from collections.abc import Iterator
from pathlib import Path

from engines.generations.folder import BASE

from ..config.settings import Settings
from ..jobs.child import LOG_NAME


def encrypted_files(settings: Settings) -> Iterator[Path]:
    """The files of an installation that are to be encrypted, but for the database. What is left out
    holds nothing of the user's: the base, the replay set, and what says which generations were
    withdrawn."""
    state, features = settings.state_dir, settings.cache_dir / "features"
    yield from (path for path in _files(state / "audio") if not path.name.startswith("."))
    yield from _files(state / "wake")
    for folder in sorted((state / "generations").glob("[0-9][0-9][0-9][0-9]")):
        if folder.name != f"{BASE:04d}":
            yield from _files(folder)
            yield from (path for inner in sorted(folder.glob("*/")) for path in _files(inner))
    for folder in sorted((state / "jobs").glob("[0-9][0-9][0-9][0-9]")):
        yield from (path for path in _files(folder) if path.name != LOG_NAME)
        for inner in sorted(folder.glob("*/")):
            yield from _files(inner) if inner.name != "replay" else ()
    yield from _files(features)
    yield from _files(features / "lessons")


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_file())
