"""Makes utterances again of audio files that no row names, so that a kill between file and row, or
a lost database, loses no audio. Knows no model."""

import logging
import os
from pathlib import Path

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ

from ..clocks import is_set
from .store import Store, utterance_id

logger = logging.getLogger(__name__)

_AT_ONCE = 100


def adopt_orphans(store: Store, wall_seconds: float) -> int:
    """Make utterances of audio files without a row. Returns how many; `wall_seconds` is now, in
    seconds since the epoch.

    The caller must hold the state folder, so that no other process is writing. Raises AttuneError
    if the database or the folder cannot be used.
    """
    known = {row[0] for row in store.rows("SELECT audio FROM utterances")}
    try:
        with os.scandir(store.audio_folder) as files:
            strangers = sorted(file.name for file in files if file.name not in known)
        for name in strangers:
            if name.startswith("."):  # `write_flac` was writing it when the process was killed
                (store.audio_folder / name).unlink(missing_ok=True)
        orphans = [
            store.audio_folder / name
            for name in strangers
            if name.endswith(".flac") and not name.startswith(".")
        ]
        orphans.sort(key=lambda path: path.stat().st_mtime)  # the best guess at their order
    except OSError as error:
        raise AttuneError(
            f"{error.filename} cannot be used: {error.strerror}; see to it that Attune's user"
            " owns it"
        ) from error
    taken_up = 0
    for first in range(0, len(orphans), _AT_ONCE):
        # After the loss of a database, a flush to the disk for each file would take minutes.
        with store.writing():
            taken_up += sum(
                _adopt(store, path, wall_seconds) for path in orphans[first : first + _AT_ONCE]
            )
    if taken_up:
        logger.warning("%d audio files that no row named became utterances again", taken_up)
    return taken_up


def _adopt(store: Store, path: Path, wall_seconds: float) -> bool:
    try:
        samples = read_audio(path)
    except AttuneError as error:
        logger.warning("an audio file that no row names is left where it is: %s", error)
        return False
    if utterance_id(samples) != path.stem:
        logger.warning("%s is not an utterance of this store and is left where it is", path)
        return False
    written_at = path.stat().st_mtime
    store.add_row(
        path.stem,
        len(samples) / SAMPLE_RATE_HZ,
        "recovered",
        written_at if is_set(written_at) else wall_seconds,
    )
    return True
