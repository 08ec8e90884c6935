"""Files as their folder wants them: encrypted below a protected one, plain elsewhere. Whole or not
at all, as in `engines/files.py`."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import AttuneError
from ..files import flush, remembered, write_atomically, write_beside
from .folders import ring_of
from .keys import KeyRing
from .stream import HEAD_BYTES, MAGIC, DamagedError, UnknownKeyError, decrypt, encrypt

_BLOCK_BYTES = 1 << 20


class UnreadableError(AttuneError):
    """A file that should be encrypted is damaged, plain, or of another key."""


def write_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`. Raises OSError as `write_atomically`."""
    ring = ring_of(path)
    if ring is None:
        write_atomically(path, data)
    else:
        encrypted = io.BytesIO()
        encrypt(io.BytesIO(data), encrypted, ring.current)
        write_atomically(path, encrypted.getvalue())


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Have a library that wants a path write the file `path`: it writes to the path that this
    yields. Where files are encrypted, that is one in memory, and no disk sees what is in it. Raises
    OSError as `write_beside`."""
    ring = ring_of(path)
    if ring is None:
        with write_beside(path) as beside:
            yield beside
        return
    with _in_memory(path.name) as (handle, memory):
        yield memory
        os.lseek(handle, 0, os.SEEK_SET)
        with (
            write_beside(path) as beside,
            open(handle, "rb", closefd=False) as source,
            beside.open("xb") as target,
        ):
            os.fchmod(target.fileno(), 0o600)
            encrypt(source, target, ring.current)


def read_file(path: Path, most_bytes: int | None = None) -> bytes:
    """The content of the file `path`; of a longer one than `most_bytes` about as much. Raises
    OSError where it cannot be read, and UnreadableError where it is not as it was written."""
    ring = ring_of(path)
    with path.open("rb") as file:
        if ring is None:
            return file.read() if most_bytes is None else file.read(most_bytes + 1)
        content = io.BytesIO()

        def take(segment: bytes) -> None:
            content.write(segment)
            if most_bytes is not None and content.tell() > most_bytes:
                raise UnreadableError(f"{path} is larger than {most_bytes} bytes")

        _decrypt(path, file, take, ring)
    return content.getvalue()


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """A path at which a library finds the content of the file `path`, for as long as the context
    lasts: a file in memory where it is encrypted. Raises as `read_file`."""
    ring = ring_of(path)
    if ring is None:
        yield path
        return
    with path.open("rb") as file, _in_memory(path.name) as (handle, memory):
        with open(handle, "wb", closefd=False) as copy:
            _decrypt(path, file, copy.write, ring)
        yield memory


def copy_file(source: Path, target: Path) -> str:
    """Copy `source` to the free name `target`, each as its folder wants it, making the folder where
    it is missing. Returns the sha256 of the content. Raises as `read_file` and `write_file`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    ring = ring_of(target)
    with readable(source) as opened, opened.open("rb") as reader, target.open("xb") as writer:
        if ring is not None:
            encrypt(reader, writer, ring.current)
            reader.seek(0)
            digest = hashlib.file_digest(reader, "sha256")
        else:
            digest = hashlib.sha256()
            while block := reader.read(_BLOCK_BYTES):
                digest.update(block)
                writer.write(block)
        flush(writer)
    return digest.hexdigest()


def encrypt_again(path: Path, *, plain_too: bool = False) -> bool:
    """Encrypt the file `path` with the current key of its folder, in place, and return True; or
    return False, if it is already. With `plain_too` a file that is not encrypted is as well.

    What is written is read again before it takes the place of the other. The file keeps its times.
    Raises OSError, and UnreadableError if the file is damaged, plain or of an unknown key.
    """
    ring = ring_of(path)
    if ring is None or (key := key_id_of(path)) == ring.current.id:
        return False
    about = path.stat()
    plain = path.read_bytes() if key is None and plain_too else read_file(path)
    with write_beside(path) as beside:
        with beside.open("xb") as target:
            encrypt(io.BytesIO(plain), target, ring.current)
        os.utime(beside, ns=(about.st_atime_ns, about.st_mtime_ns))
        again = io.BytesIO()
        with beside.open("rb") as source:
            _decrypt(beside, source, again.write, ring)
        if again.getvalue() != plain:
            raise UnreadableError(f"{path} was not written as it should be; check the disk")
    return True


def content_sha256(path: Path) -> str:
    """The sha256 of the content of a regular file, in hexadecimal, remembered until the file
    changes. Raises as `read_file`."""
    return remembered(path, _hash)


def key_id_of(path: Path) -> bytes | None:
    """The id of the key that `path` was encrypted with; None where it is plain. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return head[len(MAGIC) :] if len(head) == HEAD_BYTES and head.startswith(MAGIC) else None


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    ring = ring_of(path)
    with path.open("rb") as file:
        if ring is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        _decrypt(path, file, digest.update, ring)
    return digest.hexdigest()


def _decrypt(path: Path, file: IO[bytes], write: Callable[[bytes], object], ring: KeyRing) -> None:
    try:
        decrypt(file, write, ring.find)
    except (DamagedError, UnknownKeyError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from None


@contextmanager
def _in_memory(name: str) -> Iterator[tuple[int, Path]]:
    """A file that no disk holds: its descriptor, and a path that opens it in this process alone."""
    handle = os.memfd_create(name[:200], os.MFD_CLOEXEC)
    try:
        yield handle, Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
