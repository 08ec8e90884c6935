"""The numbered, immutable folders of generations. Knows no training, no verdict, and no pointers.

A folder appears whole under its number or not at all; on reading it is checked against the sha256
of every file.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from ..encryption.files import (
    UnreadableError,
    content_sha256,
    copy_file,
    read_file,
    write_file,
)
from ..encryption.folders import plainly, protect, ring_of
from ..errors import AttuneError
from ..files import sync_folder, sync_folders, write_atomically
from ..schema import first_problem
from .card import Card

BASE = 0
"""The number of the generation that is shipped."""

CARD = "card.json"
PROJECTOR = "projector.onnx"
WEIGHTS = "projector.safetensors"
RECOGNISER = "recogniser.safetensors"
ADAPTER = "adapter.gguf"
WITHDRAWN = "withdrawn"
"""The name of the file that lists generations which may never be loaded again."""
ADAPTER_WEIGHTS = "adapter"
"""The name of a folder in peft's own format."""
MAX_CARD_BYTES = 1 << 22
MAX_NUMBER = 9999
FOLDER = re.compile(r"\d{4}")
_LEFTOVER = re.compile(r"\.(\d{4}|current|previous|shadow)\..+")


@dataclass(frozen=True)
class Generation:
    """A generation whose card and files were found whole."""

    number: int
    folder: Path
    card: Card

    @property
    def projector(self) -> Path | None:
        """The projector's graph; None where it has none, and only the cascade can serve."""
        return self.folder / PROJECTOR if PROJECTOR in self.card.files else None

    @property
    def weights(self) -> Path | None:
        """The weights of the projector, from which training can go on; None where it has none."""
        return self.folder / WEIGHTS if WEIGHTS in self.card.files else None

    @property
    def recogniser(self) -> Path | None:
        """The low-rank changes to Whisper's weights; None where Whisper hears as it came."""
        return self.folder / RECOGNISER if RECOGNISER in self.card.files else None

    @property
    def adapter(self) -> Path | None:
        """The GGUF adapter that speech passes through; None where the language model reads rows,
        which need none."""
        return self.folder / ADAPTER if ADAPTER in self.card.files else None

    @property
    def adapter_weights(self) -> Path | None:
        """The folder of the weights that `adapter` was made of, from which training can go on."""
        return self.folder / ADAPTER_WEIGHTS if self.adapter else None


def projector_of(generation: Generation) -> tuple[Path, Path]:
    """The graph of the projector, and its weights. Raises AttuneError where `generation` has
    none."""
    if generation.projector is None or generation.weights is None:
        raise AttuneError(
            f"generation {generation.number:04d} has no projector, so only the cascade hears; the"
            " base projector that comes with Attune is for whisper-tiny.en"
        )
    return generation.projector, generation.weights


@dataclass(frozen=True)
class Damaged:
    """A generation that must not be served."""

    number: int
    folder: Path
    reason: str


def read_generation(folder: Path) -> Generation:
    """Read and check the generation in `folder`. Raises AttuneError naming what is missing, damaged
    or unexpected in it."""
    try:
        number = int(folder.name) if FOLDER.fullmatch(folder.name) else None
        text = read_file(folder / CARD, MAX_CARD_BYTES)
        if len(text) > MAX_CARD_BYTES:
            raise _damaged(folder, f"{CARD} is larger than {MAX_CARD_BYTES} bytes")
        card = Card.model_validate_json(text)
    except ValidationError as error:
        # Whole, and about something that is not known here.
        if error.errors()[0]["type"] == "extra_forbidden":
            raise AttuneError(
                f"generation {folder} was made by another version of Attune; remove it and run"
                " `attune engines build`"
            ) from None
        told = " ".join(first_problem(error)).strip()
        raise _damaged(folder, f"{CARD}: {told}") from None
    except OSError as error:
        raise _damaged(folder, f"{CARD}: {error.strerror}") from None
    except UnreadableError as error:
        raise _damaged(folder, str(error)) from None
    if hashlib.sha256(text).hexdigest() in withdrawn(folder.parent).values():
        raise AttuneError(
            f"generation {folder} was withdrawn: it had learnt from what the user wanted forgotten"
        )
    if card.number != number:
        raise _damaged(folder, f"{CARD} belongs to generation {card.number}")
    for name, other in ((PROJECTOR, WEIGHTS), (WEIGHTS, PROJECTOR)):
        if other in card.files and name not in card.files:
            raise _damaged(folder, f"{CARD} lists {other}, but no {name}")
    for name, expected in card.files.items():
        if not _stays_inside(name):
            raise _damaged(folder, f"{CARD} lists a file outside the folder ({name})")
        try:
            found = content_sha256(folder / name)
        except OSError as error:
            raise _damaged(folder, f"{name}: {error.strerror}") from None
        except UnreadableError as error:
            raise _damaged(folder, str(error)) from None
        if found != expected:
            raise _damaged(
                folder,
                f"{name} is not what was written (sha256 {found[:12]}, expected {expected[:12]})",
            )
    return Generation(card.number, folder, card)


def folder_of(root: Path) -> Path:
    """The folder of generations itself, where `root` is a link to it: what is encrypted is known by
    its path."""
    if not root.is_symlink():
        return root
    return Path(os.path.normpath(root.parent / os.readlink(root)))


def list_generations(root: Path) -> list[Generation | Damaged]:
    """Every numbered folder in `root`, read and checked, in ascending order; none where `root` is
    missing."""
    return [_read_or_damaged(folder) for folder in _folders(root)]


def judged_against(root: Path, number: int, user: int = 1) -> list[Card]:
    """The cards of the whole generations of `user` that were trained from `number`, and so judged
    against it, in ascending order."""
    return [
        found.card
        for found in list_generations(root)
        if isinstance(found, Generation) and found.card.parent == number and found.card.user == user
    ]


def next_number(root: Path) -> int:
    """The number after the highest one taken, by whole, damaged and withdrawn generations alike;
    never that of the base."""
    taken = [int(folder.name) for folder in _folders(root)]
    return max([BASE, *taken, *withdrawn(root)]) + 1


def withdrawn(root: Path) -> dict[int, str]:
    """The generations that may never be loaded again: the sha256 of the card of each, by its
    number."""
    try:
        lines = (root / WITHDRAWN).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AttuneError(f"{root / WITHDRAWN} cannot be read: {error.strerror}") from None
    found = [line.partition(" ") for line in lines]
    return {int(number): digest for number, _, digest in found if number.isdecimal()}


def withdraw(root: Path, numbers: Collection[int]) -> None:
    """Remove generations `numbers`, so that they cannot be loaded again, not even from a copy that
    is put back. No pointer may name one of them. Killed at any instant, it may be called again.
    Raises OSError where a folder cannot be removed."""
    if not numbers:
        return
    known = withdrawn(root)
    for number in numbers:
        card = root / f"{number:04d}" / CARD
        with suppress(FileNotFoundError, UnreadableError):  # what is damaged cannot be loaded
            known[number] = content_sha256(card)
        known.setdefault(number, "")
    lines = "".join(f"{number:04d} {digest}\n" for number, digest in sorted(known.items()))
    write_atomically(root / WITHDRAWN, lines.encode())
    for number in numbers:
        folder = root / f"{number:04d}"
        if folder.exists():
            # Renamed first, because half a folder would be a damaged generation.
            shutil.rmtree(folder.rename(root / f".{number:04d}.going"))


def write_generation(root: Path, number: int, card: Card, files: dict[str, Path]) -> Generation:
    """Copy `files` (name in the folder to source) and `card` into `root/NNNN`; `card.number` and
    `card.files` are filled in.

    The folder is written under a temporary name and renamed at the end, so a process killed at any
    instant leaves a whole generation or none. Raises AttuneError where the number is taken or out
    of range, a source cannot be read, or the disk is full.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise AttuneError(
            f"generation numbers run from 0 to {MAX_NUMBER}, not {number}; move old folders out of"
            f" {root}"
        )
    if outside := [name for name in files if name == CARD or not _stays_inside(name)]:
        raise ValueError(f"not names for files of a generation: {outside}")
    folder = root / f"{number:04d}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _writing(root, number) as beside:
            if ring_of(folder) is None:  # the base, among generations that are encrypted
                protect([beside], plainly)
            sums = {name: copy_file(source, beside / name) for name, source in files.items()}
            whole = card.model_copy(update={"number": number, "files": sums})
            write_file(beside / CARD, whole.model_dump_json(indent=2).encode() + b"\n")
            sync_folders(beside)
            if os.path.lexists(folder):  # rename would silently replace an empty folder
                raise AttuneError(
                    f"generation {folder} exists already; generations are never overwritten"
                )
            beside.rename(folder)
            sync_folder(root)
    except OSError as error:
        where = error.filename or root
        raise AttuneError(
            f"generation {folder} could not be written ({where}: {error.strerror}); nothing was"
            " changed"
        ) from None
    return read_generation(folder)


def sweep(root: Path) -> list[Path]:
    """Remove and return what killed writers left in `root` and beside it (`.NNNN.*`, `.current.*`
    and so on). Does nothing while another process writes a generation."""
    if not root.is_dir():
        return []
    with _locked(root, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        if not alone:
            return []
        found = [
            path
            for folder in (root, root.parent)
            for path in folder.iterdir()
            if _LEFTOVER.fullmatch(path.name)
        ]
        for path in found:
            shutil.rmtree(path)
        return sorted(found)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in folder_of(root).iterdir() if FOLDER.fullmatch(path.name))


def _read_or_damaged(folder: Path) -> Generation | Damaged:
    try:
        return read_generation(folder)
    except AttuneError as error:
        return Damaged(int(folder.name), folder, str(error))


def _damaged(folder: Path, what: str) -> AttuneError:
    return AttuneError(
        f"generation {folder} is damaged ({what}); choose another with `attune generations promote`"
    )


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        bool(path.parts) and not path.is_absolute() and ".." not in path.parts and str(path) == name
    )


@contextmanager
def _writing(root: Path, number: int) -> Iterator[Path]:
    """Yield a temporary folder in `root` that `sweep` leaves alone while this process lives. At the
    end it is removed, unless it was renamed."""
    with _locked(root, fcntl.LOCK_SH):
        beside = Path(tempfile.mkdtemp(prefix=f".{number:04d}.", dir=root))
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold a lock on `folder`; yields False where `how` says not to wait and another process holds
    it. The kernel frees the lock of a process that ends."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _lock(handle, how)
    finally:
        os.close(handle)


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    return True
