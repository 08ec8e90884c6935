"""The data keys of an installation. Knows no file."""

import json
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
ID_BYTES = 8


@dataclass(frozen=True)
class DataKey:
    """A key that files are encrypted with."""

    id: bytes
    """ID_BYTES, in the head of each file."""
    secret: bytes = field(repr=False)
    """KEY_BYTES."""

    @classmethod
    def new(cls) -> "DataKey":
        return cls(os.urandom(ID_BYTES), os.urandom(KEY_BYTES))

    def derived(self, purpose: str) -> bytes:
        """A key of KEY_BYTES for another purpose (HKDF-SHA256, RFC 5869), from which this one
        cannot be found."""
        return derive(self.secret, purpose)


@dataclass(frozen=True)
class KeyRing:
    """The data keys of an installation: files are written with the current one, and read with
    any."""

    current: DataKey
    older: tuple[DataKey, ...] = ()

    @property
    def all(self) -> tuple[DataKey, ...]:
        return (self.current, *self.older)

    def find(self, identifier: bytes) -> DataKey | None:
        """The key with this id; None if there is none."""
        return next((key for key in self.all if key.id == identifier), None)

    def packed(self) -> bytes:
        """The secrets, for another process of the same installation."""
        return json.dumps([[key.id.hex(), key.secret.hex()] for key in self.all]).encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> "KeyRing":
        """The ring that `packed` made. Raises ValueError if it is none."""
        try:
            keys = [DataKey(bytes.fromhex(a), bytes.fromhex(b)) for a, b in json.loads(packed)]
        except TypeError as error:
            raise ValueError("these are no keys") from error
        if not keys or any(len(k.id) != ID_BYTES or len(k.secret) != KEY_BYTES for k in keys):
            raise ValueError("these are no keys")
        return cls(keys[0], tuple(keys[1:]))


def derive(secret: bytes, purpose: str) -> bytes:
    """A key of KEY_BYTES for one purpose, by HKDF-SHA256 (RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(secret)
