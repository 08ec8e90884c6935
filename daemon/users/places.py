"""Where the pointers to a user's generations are."""

import shutil
from pathlib import Path

from engines.errors import AttuneError
from engines.generations.pointers import make_view

from ..store.records import FIRST_USER
from .users import Users

FOLDER = "users"


def generations_of(generations: Path, user: int) -> Path:
    """Return the folder of generations with the pointers of `user` beside it, made if it is not
    there. Raises AttuneError if it cannot be."""
    if user == FIRST_USER:
        return generations
    root = generations.parent / FOLDER / str(user) / generations.name
    try:
        return make_view(generations, root)
    except OSError as error:
        raise AttuneError(f"{root} cannot be made: {error.strerror}") from None


def forget_pointers(generations: Path, user: int) -> None:
    """Remove the pointers of a further user. Raises AttuneError if they cannot be."""
    folder = generations.parent / FOLDER / str(user)
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        raise AttuneError(f"{folder} cannot be removed: {error.strerror}") from None


def views(generations: Path) -> dict[int, Path]:
    """Return what `generations_of` does for every user who has pointers, without a store."""
    found = {FIRST_USER: generations}
    for folder in sorted((generations.parent / FOLDER).glob("[1-9]*")):
        if (root := folder / generations.name).is_symlink():
            found[int(folder.name)] = root
    return found


def of_others(generations: Path, users: Users, user: int) -> list[Path]:
    """Return what `generations_of` does for every user but one."""
    return [generations_of(generations, other.id) for other in users.all if other.id != user]
