"""The archive of an installation: one file, encrypted with a passphrase.

Two lines of text, of which the second says how long what follows is; an age identity, encrypted
with the passphrase; and a tar file, encrypted to that identity (https://age-encryption.org/v1).
docs/your-recordings.md says how it is opened without Attune. The first file in it, `manifest.json`,
names all others with their sizes and sums. Nothing in it is compressed, and every bit of it is
checked: what is not as it was written is refused.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pyrage
from pydantic import ValidationError

from engines.errors import AttuneError
from engines.schema import Frozen

MANIFEST = "manifest.json"
_FIRST_LINE = b"attune export 1\n"
_LENGTH_DIGITS = 6
_MOST_IDENTITY_BYTES = 4096
_MOST_MANIFEST_BYTES = 64 << 20
_BLOCK = 512


class ListedFile(Frozen):
    """A file of an archive."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(Frozen):
    """What is in an archive."""

    attune: str
    """The version that made it."""
    created_at: str
    """In ISO 8601, UTC."""
    database_key: str
    """The key of `database.db`, which is SQLCipher's, in hexadecimal digits: made for this archive
    alone."""
    pointers: dict[str, int]
    """The generation that each pointer named."""
    files: tuple[ListedFile, ...]


class ArchiveError(AttuneError):
    """An archive is refused."""


def write_archive(
    target: IO[bytes], passphrase: str, manifest: bytes, files: Iterable[tuple[str, bytes]]
) -> None:
    """Write an archive with `manifest` and the `files`, each with its name and its content, one of
    which is in memory at a time. Raises OSError, and what `files` raises."""
    identity = pyrage.x25519.Identity.generate()
    locked = pyrage.passphrase.encrypt(str(identity).encode(), passphrase)
    target.write(_FIRST_LINE + b"%0*d\n" % (_LENGTH_DIGITS, len(locked)) + locked)
    read_end, write_end = os.pipe()

    def fill() -> None:
        with (
            os.fdopen(write_end, "wb") as pipe,
            tarfile.open(fileobj=pipe, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
        ):
            _add(tar, MANIFEST, manifest)
            for name, content in files:
                _add(tar, name, content)

    with ThreadPoolExecutor(1, "archive") as filler:
        filled = filler.submit(fill)
        with os.fdopen(read_end, "rb") as plain:
            pyrage.encrypt_io(plain, target, [identity.to_public()])
        filled.result()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = len(content), 0o600
    tar.addfile(about, io.BytesIO(content))


def read_archive(
    source: IO[bytes],
    name: str,
    passphrase: str,
    begin: Callable[[Manifest], None],
    take: Callable[[str, bytes], None],
) -> Manifest:
    """Read an archive: call `begin` with its manifest, then `take` with the name and the content of
    each file. Only when this returns it is certain that nothing of it is missing or changed.

    Raises ArchiveError, which calls the archive `name`, if it is no archive, the passphrase is
    wrong, it is damaged, or holds what its manifest does not name; and what `begin` and `take`
    raise.
    """
    if source.read(len(_FIRST_LINE)) != _FIRST_LINE:
        raise ArchiveError(f"{name} is no archive that Attune exported, or of a newer version")
    digits = source.read(_LENGTH_DIGITS + 1)
    if len(digits) != _LENGTH_DIGITS + 1 or not digits[:-1].isdigit() or digits[-1:] != b"\n":
        raise _damaged(name)
    length = int(digits)
    if not 0 < length <= _MOST_IDENTITY_BYTES:
        raise _damaged(name)
    try:
        unlocked = pyrage.passphrase.decrypt(source.read(length), passphrase)
        identity = pyrage.x25519.Identity.from_str(unlocked.decode())
    except (pyrage.DecryptError, pyrage.IdentityError, UnicodeDecodeError) as error:
        told = f"{name} does not open: the passphrase is wrong, or the file is damaged"
        raise ArchiveError(told) from error
    parts = _Parts(name, begin, take)
    try:
        pyrage.decrypt_io(source, parts, [identity])
    except (pyrage.DecryptError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        raise _damaged(name) from error
    return parts.end()


class _Parts:
    """Takes the content of an archive as it is decrypted, and cuts it into files. Knows plain files
    alone: no links, folders, devices or long names, and nothing that the manifest does not name."""

    def __init__(
        self, name: str, begin: Callable[[Manifest], None], take: Callable[[str, bytes], None]
    ) -> None:
        self._name = name
        self._begin, self._take = begin, take
        self._left = bytearray()
        self._file: tuple[str, int] | None = None
        self._manifest: Manifest | None = None
        self._to_come: list[ListedFile] = []
        self._ended = False

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        self._left += data
        while self._step():
            pass
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def end(self) -> Manifest:
        """Say that nothing comes any more."""
        if self._manifest is None or not self._ended or self._to_come or any(self._left):
            raise _damaged(self._name)
        return self._manifest

    def _step(self) -> bool:
        if self._ended:
            if any(self._left):
                raise _damaged(self._name)
            self._left.clear()
            return False
        if self._file is None:
            if len(self._left) < _BLOCK:
                return False
            self._header(bytes(self._left[:_BLOCK]))
            del self._left[:_BLOCK]
            return True
        name, size = self._file
        padded = -(-size // _BLOCK) * _BLOCK
        if len(self._left) < padded:
            return False
        content = bytes(self._left[:size])
        del self._left[:padded]
        self._file = None
        self._content(name, content)
        return True

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._ended = True
            return
        try:
            about = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise _damaged(self._name) from error
        if about.type != tarfile.REGTYPE:
            raise ArchiveError(f"{self._name} is refused: {about.name!r} in it is no plain file")
        if self._manifest is None:
            if about.name != MANIFEST or about.size > _MOST_MANIFEST_BYTES:
                raise ArchiveError(f"{self._name} is refused: it does not begin with its manifest")
        elif not self._to_come or (about.name, about.size) != (
            self._to_come[0].name,
            self._to_come[0].size_bytes,
        ):
            raise ArchiveError(f"{self._name} is refused: {about.name!r} is not in its manifest")
        self._file = about.name, about.size

    def _content(self, name: str, content: bytes) -> None:
        if self._manifest is None:
            try:
                self._manifest = Manifest.model_validate_json(content)
            except ValidationError as error:
                raise ArchiveError(
                    f"{self._name} is refused: its manifest is not of a form that is known here; it"
                    " may be of a newer Attune"
                ) from error
            self._to_come = list(self._manifest.files)
            self._begin(self._manifest)
            return
        listed = self._to_come.pop(0)
        if hashlib.sha256(content).hexdigest() != listed.sha256:
            raise _damaged(self._name)
        self._take(name, content)


def open_archive(path: Path) -> IO[bytes]:
    """Open an archive. Raises ArchiveError if it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error


def _damaged(name: str) -> ArchiveError:
    return ArchiveError(f"{name} is refused: it is damaged, cut off or was changed")
