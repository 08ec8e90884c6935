"""The one place where the running daemon moves the pointers to generations: one move at a time,
served at once or taken back.

Knows the disk, and how to serve what a pointer names; no round and no model.
"""

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from engines.errors import AttuneError
from engines.generations.folder import BASE, Generation, sweep
from engines.generations.pointers import (
    current,
    leave_shadow,
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

logger = logging.getLogger(__name__)

MoveOutcome = Literal["promoted", "shadowed", "refused", "failed"]


class Moves:
    """Safe to use from several threads: what a move depends on is read again under the lock that
    the move is made under."""

    def __init__(
        self,
        root: Path,
        serve: Callable[[Generation], None],
        record: Callable[[int, str], object] = lambda number, why: None,
        lock: "threading.RLock | None" = None,
    ) -> None:
        """`root` is the folder of generations.

        `serve` is called for each generation that becomes current, and raises AttuneError where it
        cannot be served: the pointers are then what they were. `record` keeps its number and why.
        `lock` is held meanwhile; it may guard the models as well.
        """
        self._root = root
        self._serve = serve
        self._record = record
        self._lock = lock or threading.RLock()

    def promote(self, number: int, why: str) -> Generation:
        """Make generation `number` current. Raises AttuneError, and changes nothing, where it is
        damaged or cannot be served."""
        with self._lock:
            return self._move(lambda: promote(self._root, number), why)

    def roll_back(self, why: str, expected: int | None = None) -> Generation:
        """Make the previous generation current again.

        Raises AttuneError, and changes nothing, where there is none that can be served, or where
        `expected` is given and is not current any more.
        """
        with self._lock:
            if expected is not None and _number(current, self._root) != expected:
                raise AttuneError(f"generation {expected:04d} is not current any more")
            return self._move(lambda: rollback(self._root), why)

    def take_over(self, candidate: Generation, why: str) -> tuple[MoveOutcome, str]:
        """Make `candidate` current, unless what it was judged against is not current any more:
        `promoted`, `refused` or `failed`, and the reason for the last two."""
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
        """As `take_over`, for a candidate that must still be in shadow. The pointer `shadow` is
        left to `leave_shadow`."""
        with self._lock:
            if _number_in_shadow(self._root) != candidate.number:
                return "refused", "refused: it left the shadow, or another generation came there"
            return self.take_over(candidate, why)

    def put_in_shadow(self, candidate: Generation) -> tuple[MoveOutcome, str]:
        """Let `candidate` hear along, on the same condition as `take_over`: `shadowed`, `refused`
        or `failed`, and the reason."""
        with self._lock:
            if reason := self.overtaken(candidate):
                return "refused", reason
            try:
                put_in_shadow(self._root, candidate.number)
            except AttuneError as error:
                return "failed", str(error)
            return "shadowed", ""

    def in_shadow(self) -> Generation | None:
        """The generation that hears along; one that is damaged leaves the shadow, and None is
        returned as where there is none."""
        with self._lock:
            try:
                return shadow(self._root)
            except AttuneError as error:
                leave_shadow(self._root)  # a damaged one will not mend
                logger.warning("a generation left the shadow: %s", error)
                return None

    def leave_shadow(self, number: int) -> None:
        """Let generation `number` hear along no more; another that came in its place stays."""
        with self._lock:
            if _number_in_shadow(self._root) == number:
                leave_shadow(self._root)

    def overtaken(self, candidate: Generation) -> str:
        """Why `candidate` cannot become current any more; empty where what it was judged against,
        or itself, is current."""
        served, _ = usable(self._root)
        if served is None or served.number in (candidate.number, candidate.card.parent):
            return ""
        return (
            f"refused: it was judged against generation {candidate.card.parent}, but"
            f" {served.number} is current now"
        )

    def pointed_to(self) -> set[int]:
        """The numbers of the generations that a pointer names, and the base's."""
        found = {_number(read, self._root) for read in (current, previous, shadow)}
        return {BASE, *(number for number in found if number is not None)}

    def drop(self, number: int) -> bool:
        """Remove generation `number` unless a pointer names it. True where it is gone; raises
        OSError where it cannot be."""
        with self._lock:
            if number in self.pointed_to():
                return False
            # Under another name at once: half a folder would be a damaged generation.
            shutil.rmtree(
                (self._root / f"{number:04d}").rename(self._root / f".{number:04d}.going")
            )
            return True

    def sweep(self) -> None:
        """Remove what killed writers left beside. A pointer that is being moved would look like
        that."""
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
                f"generation {chosen.number:04d} could not be put to use and the old one stays:"
                f" {error}"
            ) from error
        try:
            self._record(chosen.number, why)
        except AttuneError as error:
            logger.warning(
                "that generation %04d is served (%s) is not kept: %s", chosen.number, why, error
            )
        return chosen

    def _give_up(self, candidate: Generation) -> None:
        """Roll back where `candidate` was current already: a daemon was killed between this move
        and recording it."""
        if _number(current, self._root) == candidate.number:
            with suppress(AttuneError):
                self._move(
                    lambda: rollback(self._root),
                    f"generation {candidate.number:04d} could not be put to use",
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
        return None  # whatever a broken pointer meant, `usable` passes it over
    return None if found is None else found.number


def _number_in_shadow(root: Path) -> int | None:
    try:
        return number_in_shadow(root)
    except AttuneError:
        return None
