"""A time in which nothing is kept of what is said, also after a restart. Safe to use from several
threads."""

from ..store.store import Store

_LONGEST_SECONDS = 100 * 3600.0


class PrivateTime:
    """Whether something may be kept now."""

    def __init__(self, store: Store) -> None:
        """Go on with what was begun before a restart, as far as the wall clock tells."""
        self._store = store
        rows = store.rows("SELECT until_wall FROM private_time")
        left = min(rows[0][0] - store.clocks.wall(), _LONGEST_SECONDS) if rows else 0.0
        self._until = store.clocks.elapsed() + left

    def begin(self, seconds: float) -> None:
        """Keep nothing for so many seconds from now on. Raises AttuneError if that cannot be
        stored; nothing is kept until a restart all the same."""
        self._until = self._store.clocks.elapsed() + seconds
        with self._store.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO private_time (id, until_wall) VALUES (1, ?)",
                (self._store.clocks.wall() + seconds,),
            )

    def end(self) -> None:
        """Keep again what is kept otherwise. Raises AttuneError if that cannot be stored."""
        with self._store.writing() as connection:
            connection.execute("DELETE FROM private_time")
        self._until = 0.0

    @property
    def left_seconds(self) -> float:
        """The seconds for which nothing is kept; 0 if it may be."""
        return max(0.0, self._until - self._store.clocks.elapsed())
