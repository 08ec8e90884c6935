"""What is in the files of an installation for who has its keys."""

from pathlib import Path

from daemon.store.store import DATABASE
from engines.encryption.files import key_id_of, read_file
from tests.support.database import plain_content


def content_of(path: Path) -> bytes:
    """The bytes of the file, decrypted if it is encrypted; of a database its rows, too."""
    if path.name == DATABASE:
        return path.read_bytes() + plain_content(path)
    return read_file(path) if key_id_of(path) is not None else path.read_bytes()


def containing(folder: Path, *patterns: bytes) -> list[Path]:
    """The files below `folder` in which one of `patterns` is."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(pattern in content_of(path) for pattern in patterns)
    ]
