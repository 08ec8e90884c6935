"""Keeps what is stored within its quotas while nobody needs the machine. Knows where files are;
`store/retention.py` says which of them are removed."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .attention import Attention
from .clocks import REAL_TIME, SECONDS_A_DAY, Clocks
from .config.settings import Settings
from .idle_task import IdleTask
from .privacy.forgetting import clear_features
from .privacy.take_over import expire_backup
from .serving.moves import Moves
from .store.retention import Stored, surplus, surplus_generations
from .store.service_clock import JUMP_SECONDS
from .store.store import Store

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0


class Housekeeping:
    """A thread that tidies once an hour, while nobody needs the machine; `tidy` does it at once,
    from any thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        attention: Attention,
        moves: Moves,
        clocks: Clocks = REAL_TIME,
    ) -> None:
        self._settings = settings
        self._store = store
        self._moves = moves
        self._clocks = clocks
        self._lock = threading.Lock()
        self._task = IdleTask("housekeeping", self.tidy, attention, EVERY_SECONDS, clocks.monotonic)
        self.problem = ""
        """What exceeds its quota although everything removable was removed, for the user; empty if
        nothing does."""

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """End the thread after the file that it is removing."""
        self._task.stop()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Remove nothing until the context ends."""
        with self._lock:
            yield

    def tidy(self) -> int:
        """Bring everything within its quota. Returns how many files, generations and turns were
        removed."""
        quotas = self._settings.storage
        with self._lock:
            gone = self._forget_audio(quotas.audio_bytes, quotas.days_of_audio * SECONDS_A_DAY)
            gone += self._drop_features(
                quotas.features_bytes, quotas.days_of_features * SECONDS_A_DAY
            )
            gone += self._drop_generations(quotas.generations)
            gone += self._store.history.forget_turns(quotas.days_of_turns * SECONDS_A_DAY)
            gone += expire_backup(self._settings.state_dir, self._store.service_seconds())
        if gone:
            logger.info(
                "removed %d files, generations and turns, to keep the quotas of [storage]", gone
            )
        return gone

    def tidy_or_tell(self) -> None:
        """Call `tidy`, and log an error instead of raising it: the next time may succeed."""
        self._task.act_or_tell()

    def _forget_audio(self, quota_bytes: int, age_seconds: float) -> int:
        strangers_seconds = self._settings.storage.days_of_strangers * SECONDS_A_DAY
        gone = self._forget_each(self._store.old_audio(age_seconds))
        gone += self._forget_each(self._store.strangers_audio(strangers_seconds))
        if self._store.audio_bytes() <= quota_bytes:
            self.problem = ""
            return gone
        stored = self._store.stored_audio()
        spare = surplus(stored, quota_bytes)
        gone += self._forget_each([one.path for one in spare])
        left_bytes = sum(one.size_bytes for one in stored) - sum(one.size_bytes for one in spare)
        self.problem = (
            f"enrolled and corrected utterances take {left_bytes / 1e9:.1f} GB of the"
            f" {quota_bytes / 1e9:.1f} GB that storage.audio_bytes allows; they are never removed,"
            " so raise storage.audio_bytes"
            if left_bytes > quota_bytes
            else ""
        )
        return gone

    def _forget_each(self, recordings: Sequence[Path]) -> int:
        """Remove recordings, with what was computed of them."""
        gone = set()
        for path in recordings:
            if self._task.stopping.is_set():
                break
            self._store.forget(path)
            gone.add(path.stem)
        clear_features(self._settings.cache_dir / "features", gone)
        return len(gone)

    def _drop_features(self, quota_bytes: int, age_seconds: float) -> int:
        """Remove cached features that nothing has used for `age_seconds`, or over the quota. They
        can be computed again, so even those that a round is about to read may be removed."""
        now = self._clocks.wall()
        cached = _cached(self._settings.cache_dir / "features", now)
        old: list[Stored] = []
        rest: list[Stored] = []
        for used_at, one in cached:
            (old if 0 < used_at < now - age_seconds else rest).append(one)
        gone = [*old, *surplus(rest, quota_bytes)]
        for one in gone:
            one.path.unlink(missing_ok=True)
        return len(gone)

    def _drop_generations(self, most: int) -> int:
        root = self._settings.generations
        numbers = [int(folder.name) for folder in root.glob("[0-9][0-9][0-9][0-9]")]
        waiting = {
            int(job.name)
            for job in (self._settings.state_dir / "jobs").glob("[0-9][0-9][0-9][0-9]")
        }
        spare = surplus_generations(numbers, self._moves.pointed_to() | waiting, most)
        return sum(self._moves.drop(number) for number in spare)


def _cached(features: Path, now: float) -> list[tuple[float, Stored]]:
    """List cached frames, first-pass transcripts and teacher targets, the longest unused first,
    each with when it was last used, in seconds since the epoch. The replay set is left out: only
    set-up makes it.

    The wall clock tells when a file was last used. A time in the future counts as unused, or the
    file would never be removed.
    """
    found = []
    for folder in (features, features / "lessons"):
        for path in folder.glob("*") if folder.is_dir() else ():
            if path.is_file():
                about = path.stat()
                used_at = max(about.st_atime, about.st_mtime)
                found.append(
                    (used_at if used_at <= now + JUMP_SECONDS else 0.0, Stored(path, about.st_size))
                )
    return sorted(found, key=lambda one: (one[0], one[1].path))
