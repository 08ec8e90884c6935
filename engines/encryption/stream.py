"""The format of an encrypted file, and how it is written and read. Knows no path.

A head of 16 bytes says that the file is Attune's and which data key it needs. Then follows
streaming authenticated encryption as Tink defines it (AES256_GCM_HKDF_1MB,
https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming): a random salt gives each
file a key of its own, and each segment of 1 MiB is encrypted by AES-256-GCM under a nonce of the
segment's number and whether it is the last. The head is the associated data. So a file that is
changed, cut off, or put together of others is noticed.
"""

import os
from collections.abc import Callable
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .keys import ID_BYTES, KEY_BYTES, DataKey

MAGIC = b"ATTUNE\x01\n"
HEAD_BYTES = len(MAGIC) + ID_BYTES
_SALT_BYTES, _PREFIX_BYTES, _TAG_BYTES = 32, 7, 16
_HEADER_BYTES = 1 + _SALT_BYTES + _PREFIX_BYTES
_SEGMENT_BYTES = 1 << 20


class DamagedError(Exception):
    """What is read is not what was written with the key."""


class UnknownKeyError(Exception):
    """What is read was written with a key that is not there."""


def encrypt(source: IO[bytes], target: IO[bytes], key: DataKey) -> None:
    """Read `source` to its end, and write it to `target`, encrypted. One segment of it is in memory
    at a time."""
    head = MAGIC + key.id
    salt, prefix = os.urandom(_SALT_BYTES), os.urandom(_PREFIX_BYTES)
    target.write(head + bytes([_HEADER_BYTES]) + salt + prefix)
    cipher = _cipher(key, salt, head)
    number = 0
    plain = source.read(_plain_bytes(number))
    while True:
        following = source.read(_plain_bytes(number + 1))
        target.write(cipher.encrypt(_nonce(prefix, number, last=not following), plain, None))
        if not following:
            return
        number, plain = number + 1, following


def decrypt(
    source: IO[bytes], write: Callable[[bytes], object], find: Callable[[bytes], DataKey | None]
) -> None:
    """Read `source`, which stands at its beginning, and give `write` what was encrypted, a segment
    at a time: each is known to be genuine, but only at the end that none is missing. `find` returns
    the key with an id. Raises DamagedError, UnknownKeyError, and what reading and writing raise."""
    head = source.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        raise DamagedError("it is not encrypted by Attune")
    key = find(head[len(MAGIC) :])
    if key is None:
        raise UnknownKeyError(f"it needs the key {head[len(MAGIC) :].hex()}")
    header = source.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[0] != _HEADER_BYTES:
        raise DamagedError("its head is damaged")
    salt, prefix = header[1 : 1 + _SALT_BYTES], header[1 + _SALT_BYTES :]
    cipher = _cipher(key, salt, head)
    number = 0
    segment = source.read(_plain_bytes(number) + _TAG_BYTES)
    while True:
        following = source.read(_plain_bytes(number + 1) + _TAG_BYTES)
        try:
            write(cipher.decrypt(_nonce(prefix, number, last=not following), segment, None))
        except (InvalidTag, ValueError) as error:
            raise DamagedError("it is damaged, was changed or is cut off") from error
        if not following:
            return
        number, segment = number + 1, following


def _cipher(key: DataKey, salt: bytes, head: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=salt, info=head).derive(key.secret))


def _plain_bytes(number: int) -> int:
    """The most bytes in a segment: in the first one the header takes some of its room."""
    return _SEGMENT_BYTES - _TAG_BYTES - (0 if number else _HEADER_BYTES)


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
