"""The pointers to generations: `current` is served, `previous` was served before it, `shadow` is
tried in shadow. Knows no verdict.

They are relative symbolic links beside the folder of generations, so that a state folder can be
moved or copied. Each further user has pointers of their own, in a folder with a link named
`generations` to that folder, which stands for it here as `root`.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from ..errors import AttuneError
from ..files import point_atomically, sync_folder
from .folder import BASE, FOLDER, Generation, folder_of, read_generation

Pointer = Literal["current", "previous", "shadow"]


def make_view(generations: Path, root: Path) -> Path:
    """Make `root` a link to the folder `generations`, beside which there may be other pointers.
    Returns `root`. Raises OSError."""
    if not root.is_symlink():
        root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        point_atomically(root, os.path.relpath(generations, root.parent))
    return root


def current(root: Path) -> Generation | None:
    """The generation that `current` points to; None where there is no such pointer. Raises
    AttuneError where the generation is damaged or gone."""
    return _pointed(root, "current")


def previous(root: Path) -> Generation | None:
    """The generation that `previous` points to; None where there is no such pointer. Raises
    AttuneError where the generation is damaged or gone."""
    return _pointed(root, "previous")


def promote(root: Path, number: int) -> Generation:
    """Check generation `number`, then make it current; the old current becomes previous, unless it
    is damaged.

    Raises AttuneError, with both pointers as they were, where the generation is missing or damaged.
    Killed between its two renames it leaves the old generation current. Promoting the current
    generation changes nothing.
    """
    chosen = read_generation(folder_of(root) / f"{number:04d}")
    old = _number_before(root)
    if old == number and _target(root, "current") is not None:
        return chosen
    if old is not None and old != number:
        _point(root, "previous", old)
    _point(root, "current", number)
    return chosen


def rollback(root: Path) -> Generation:
    """Make the previous generation current, by one rename; `previous` stays, so a second rollback
    has nowhere to go.

    Raises AttuneError, with both pointers as they were, where there is no previous generation, or
    it is damaged or current.
    """
    back = previous(root)
    if back is None:
        raise AttuneError(
            f"there is no previous generation in {root.parent}; choose one with `attune generations"
            " promote`"
        )
    if _target(root, "current") == back.folder:
        raise AttuneError(
            f"generation {back.number:04d} is both current and previous; choose another with"
            " `attune generations promote`"
        )
    _point(root, "current", back.number)
    return back


def pointed(root: Path) -> dict[Pointer, str | None]:
    """The targets of `current` and `previous`, damaged or not, for `put_back`; None for a pointer
    that is no link."""
    return {name: _link(root.parent / name) for name in ("current", "previous")}


def put_back(root: Path, before: dict[Pointer, str | None]) -> None:
    """Point the pointers to the targets that `pointed` returned. Raises AttuneError where one
    cannot be changed.

    A kill in between leaves the earlier generation current.
    """
    for name, target in before.items():  # `current` first
        link = root.parent / name
        try:
            if target is None:
                link.unlink(missing_ok=True)
                sync_folder(root.parent)
            elif _link(link) != target:
                point_atomically(link, target)
        except OSError as error:
            raise AttuneError(
                f"{link} could not be moved back to {target} ({error.strerror})"
            ) from None


def usable(root: Path) -> tuple[Generation | None, list[str]]:
    """The generation to serve (current, else previous, else the base, else None), and one line
    about each that was passed over."""
    reasons: list[str] = []
    for read in (current, previous):
        try:
            if (found := read(root)) is not None:
                return found, reasons
        except AttuneError as error:
            reasons.append(str(error))
    base = folder_of(root) / f"{BASE:04d}"
    if base.exists():
        try:
            return read_generation(base), reasons
        except AttuneError as error:
            reasons.append(str(error))
    return None, list(dict.fromkeys(reasons))


def newest_other(root: Path, numbers: Collection[int]) -> int | None:
    """The generation that serves where `numbers` are not to: the first that is none of them among
    the one that serves, the one that this was trained from, and so on; else the base. None where
    there is none."""
    found, _ = usable(root)
    while found is not None and found.number in numbers:
        parent = found.card.parent
        try:
            found = None if parent is None else read_generation(folder_of(root) / f"{parent:04d}")
        except AttuneError:
            found = None  # it was dropped, or is damaged
    if found is not None:
        return found.number
    return BASE if BASE not in numbers and (root / f"{BASE:04d}").exists() else None


def leave(root: Path, numbers: Collection[int], chosen: int | None) -> None:
    """Let no pointer name any of `numbers`: `current` names generation `chosen` then, or nothing
    where that is None. Killed at any instant, it may be called again. Raises AttuneError where a
    pointer cannot be moved."""
    for pointer in ("current", "previous", "shadow"):
        target = _link(root.parent / pointer)
        if target is None or not FOLDER.fullmatch(name := target.rpartition("/")[2]):
            continue
        if int(name) not in numbers:
            continue
        if pointer == "current" and chosen is not None:
            _point(root, "current", chosen)
            continue
        try:
            (root.parent / pointer).unlink(missing_ok=True)
            sync_folder(root.parent)
        except OSError as error:
            raise AttuneError(
                f"{root.parent / pointer} could not be removed ({error.strerror})"
            ) from None


def shadow(root: Path) -> Generation | None:
    """The generation that `shadow` points to; None where there is no such pointer. Raises
    AttuneError where the generation is damaged or gone."""
    return _pointed(root, "shadow")


def number_in_shadow(root: Path) -> int | None:
    """The number of the generation that `shadow` points to, whole or damaged; None where there is
    no such pointer."""
    target = _target(root, "shadow")
    return None if target is None else int(target.name)


def put_in_shadow(root: Path, number: int) -> Generation:
    """Check generation `number`, then put it in shadow, in the place of what was there.

    Raises AttuneError, with the pointer as it was, where the generation is missing or damaged.
    """
    chosen = read_generation(folder_of(root) / f"{number:04d}")
    _point(root, "shadow", number)
    return chosen


def leave_shadow(root: Path) -> None:
    """Remove the pointer `shadow`. Raises AttuneError where it cannot be removed."""
    try:
        (root.parent / "shadow").unlink(missing_ok=True)
        sync_folder(root.parent)
    except OSError as error:
        raise AttuneError(
            f"{root.parent / 'shadow'} could not be removed ({error.strerror})"
        ) from None


def _number_before(root: Path) -> int | None:
    """The number of the generation that a promotion may be rolled back to; the base where nothing
    was promoted yet."""
    try:
        old = current(root)
        if old is None and (root / f"{BASE:04d}").exists():
            old = read_generation(folder_of(root) / f"{BASE:04d}")
    except AttuneError:
        return None  # a damaged generation is no place to go back to: the older `previous` stays
    return old.number if old else None


def _target(root: Path, pointer: Pointer) -> Path | None:
    link = root.parent / pointer
    try:
        target = os.readlink(link)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AttuneError(
            f"{link} is not a link to a generation ({error.strerror}); move it away"
        ) from None
    if not (target.startswith(f"{root.name}/") and FOLDER.fullmatch(target[len(root.name) + 1 :])):
        raise AttuneError(
            f"{link} points to {target}, no generation in {root}; choose one with `attune"
            " generations promote`"
        )
    return folder_of(root) / target[len(root.name) + 1 :]


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _pointed(root: Path, pointer: Pointer) -> Generation | None:
    target = _target(root, pointer)
    return None if target is None else read_generation(target)


def _point(root: Path, pointer: Pointer, number: int) -> None:
    try:
        point_atomically(root.parent / pointer, f"{root.name}/{number:04d}")
    except OSError as error:
        raise AttuneError(
            f"{root.parent / pointer} could not be moved to {number:04d} ({error.strerror})"
        ) from None
