"""Moves the pointers to generations while the daemon runs: one move at a time, which is served at
once or taken back. No other place moves them.

Knows the disk, and how to serve what a pointer names; no round and no model.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from engines.errors import AttuneError
from engines.generations.folder import BASE, Generation, folder_of, read_generation, sweep, withdraw
from engines.generations.pointers import (
    current,
    leave,
    leave_shadow,
    newest_other,
    number_in_shadow,
    pointed,
    previous,
    promote,
    put_back,
    put_in_shadow,
    rollback,
    shadow,
    usable,
)

from ..store.records import FIRST_USER

logger = logging.getLogger(__name__)

MoveOutcome = Literal["promoted", "shadowed", "refused", "failed"]


class Moves:
    """Moves the pointers. Safe to use from several threads: what a move depends on is read under
    the lock under which it is made."""

    def __init__(
        self,
        root: Path,
        serve: Callable[[Generation], None],
        record: Callable[[int, str], object] = lambda number, why: None,
        lock: "threading.RLock | None" = None,
        others: Callable[[], Iterable[Path]] = tuple,
        user: int = FIRST_USER,
    ) -> None:
        """`root` is the folder of generations, with the pointers of `user` beside it, and `others`
        returns those of the other users.

        `serve` is called for each generation that becomes current. It raises AttuneError if the
        generation cannot be served: the pointers are then put back. `record` stores the
        generation's number and the reason. `lock` is held meanwhile; it may guard the models as
        well.
        """
        self._root = root
        self._folder = folder_of(root)
        self._serve = serve
        self._record = record
        self._lock = lock or threading.RLock()
        self._others = others
        self.user = user
        """Whose pointers they are."""

    def usable(self) -> tuple[Generation | None, list[str]]:
        """The generation to serve, and one line about each that was passed over."""
        return usable(self._root)

    def named_shadow(self) -> Generation | None:
        """The generation in shadow; None if there is none. Raises AttuneError if it is damaged."""
        return shadow(self._root)

    def promote(self, number: int, why: str) -> Generation:
        """Make generation `number` current. Raises AttuneError, and changes nothing, if it is
        damaged, cannot be served, or has learnt another user's voice."""
        with self._lock:
            chosen = read_generation(self._folder / f"{number:04d}")
            if number != BASE and chosen.card.user != self.user:
                raise AttuneError(
                    f"generation {number:04d} has learnt the voice of another user; it serves only"
                    " them"
                )
            return self._move(lambda: promote(self._root, number), why)

    def roll_back(self, why: str, expected: int | None = None) -> Generation:
        """Make the previous generation current again.

        Raises AttuneError, and changes nothing, if there is no previous one that can be served, or
        if `expected` is given and is not current any more.
        """
        with self._lock:
            if expected is not None and _number(current, self._root) != expected:
                raise AttuneError(f"generation {expected:04d} is not current any more")
            return self._move(lambda: rollback(self._root), why)

    def take_over(self, candidate: Generation, why: str) -> tuple[MoveOutcome, str]:
        """Make `candidate` current, unless the generation that it was judged against is not current
        any more. Returns `promoted`, `refused` or `failed`, and the reason for the last two."""
        with self._lock:
            if reason := self.overtaken(candidate):
                return "refused", reason
            try:
                self._move(lambda: promote(self._root, candidate.number), why)
            except AttuneError as error:
                self._give_up(candidate)
                return "failed", str(error)
            return "promoted", ""

    def leave_shadow_to_serve(self, candidate: Generation, why: str) -> tuple[MoveOutcome, str]:
        """Do what `take_over` does, if `candidate` is still in shadow. The pointer `shadow` stays;
        `leave_shadow` removes it."""
        with self._lock:
            if _number_in_shadow(self._root) != candidate.number:
                return "refused", "refused: it left the shadow, or another generation came there"
            return self.take_over(candidate, why)

    def put_in_shadow(self, candidate: Generation) -> tuple[MoveOutcome, str]:
        """Run `candidate` in shadow, on the same condition as `take_over`. Returns `shadowed`,
        `refused` or `failed`, and the reason for the last two."""
        with self._lock:
            if reason := self.overtaken(candidate):
                return "refused", reason
            try:
                put_in_shadow(self._root, candidate.number)
            except AttuneError as error:
                return "failed", str(error)
            return "shadowed", ""

    def in_shadow(self) -> Generation | None:
        """Return the generation in shadow, or None if there is none. A damaged one leaves the
        shadow, and None is returned."""
        with self._lock:
            try:
                return shadow(self._root)
            except AttuneError as error:
                leave_shadow(self._root)  # a damaged one will not mend
                logger.warning("a generation left the shadow: %s", error)
                return None

    def leave_shadow(self, number: int) -> None:
        """Take generation `number` out of the shadow; another one that is there now stays."""
        with self._lock:
            if _number_in_shadow(self._root) == number:
                leave_shadow(self._root)

    def overtaken(self, candidate: Generation) -> str:
        """Say why `candidate` cannot become current any more; empty if it is current itself, or if
        the generation that it was judged against is."""
        served, _ = usable(self._root)
        if served is None or served.number in (candidate.number, candidate.card.parent):
            return ""
        return (
            f"refused: it was judged against generation {candidate.card.parent}, but"
            f" {served.number} is current now"
        )

    def pointed_to(self) -> set[int]:
        """Return the numbers of the generations that a pointer of any user names, and the
        base's."""
        found = {
            _number(read, root)
            for root in (self._root, *self._others())
            for read in (current, previous, shadow)
        }
        return {BASE, *(number for number in found if number is not None)}

    def withdraw(self, numbers: Collection[int], why: str) -> int | None:
        """Remove generations `numbers` for good: the newest that the current one goes back to, and
        that is none of them, becomes current. Returns its number; None if there is none. The caller
        has what is current served. Raises AttuneError or OSError, and may be called again then."""
        with self._lock:
            served, _ = usable(self._root)
            chosen = newest_other(self._root, numbers)
            leave(self._root, numbers, chosen)
            for root in self._others():
                leave(root, numbers, newest_other(root, numbers))
            if chosen is not None and (served is None or served.number != chosen):
                self._record(chosen, why)
            withdraw(self._folder, numbers)
            return chosen

    def drop(self, number: int) -> bool:
        """Remove generation `number` unless a pointer names it. Returns whether it was removed;
        raises OSError if it cannot be."""
        with self._lock:
            if number in self.pointed_to():
                return False
            # Renamed first, because half a folder would be a damaged generation.
            shutil.rmtree(
                (self._folder / f"{number:04d}").rename(self._folder / f".{number:04d}.going")
            )
            return True

    def sweep(self) -> None:
        """Remove temporary files that killed writers left. Under the lock, because a pointer that
        is being moved looks like one."""
        with self._lock:
            sweep(self._root)

    def _move(self, move: Callable[[], Generation], why: str) -> Generation:
        before = pointed(self._root)
        chosen = move()
        try:
            self._serve(chosen)
        except AttuneError as error:
            put_back(self._root, before)
            self._serve_again()
            raise AttuneError(
                f"generation {chosen.number:04d} cannot be served, so the old one stays: {error}"
            ) from error
        try:
            self._record(chosen.number, why)
        except AttuneError as error:
            logger.warning(
                "the move to generation %04d (%s) could not be stored: %s",
                chosen.number,
                why,
                error,
            )
        return chosen

    def _give_up(self, candidate: Generation) -> None:
        """Roll back if `candidate` was current already, because a daemon was killed between the
        move and its record."""
        if _number(current, self._root) == candidate.number:
            with suppress(AttuneError):
                self._move(
                    lambda: rollback(self._root),
                    f"generation {candidate.number:04d} could not be served",
                )

    def _serve_again(self) -> None:
        """Serve what the pointers name after a move that was taken back."""
        served, _ = usable(self._root)
        try:
            if served is not None:
                self._serve(served)
        except AttuneError as error:
            logger.error("%s", error)


def _number(read: Callable[[Path], Generation | None], root: Path) -> int | None:
    try:
        found = read(root)
    except AttuneError:
        return None  # a broken pointer names no generation, and `usable` skips it
    return None if found is None else found.number


def _number_in_shadow(root: Path) -> int | None:
    try:
        return number_in_shadow(root)
    except AttuneError:
        return None
