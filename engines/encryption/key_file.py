"""The data keys of an installation on the disk: encrypted with its installation key, which is kept
elsewhere.

There are two copies of the file, since without it nothing can be read any more.
"""

import binascii
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError

from ..errors import AttuneError
from ..files import write_atomically
from ..schema import Frozen
from .keys import KEY_BYTES, DataKey, KeyRing, derive

KEYS = "keys.json"
COPY = "keys.copy.json"
LEAST_SECRET_BYTES = KEY_BYTES
MOST_SECRET_BYTES = 4096
_NONCE_BYTES = 12
_MOST_BYTES = 1 << 16
_VERSION = 1


class WrongKeyError(AttuneError):
    """None of the installation keys that are there opens the data keys."""


@dataclass(frozen=True)
class InstallationKey:
    """The key that the data keys are encrypted with."""

    where: str
    """Where it was read, for people."""
    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells keys apart, and gives nothing away: eight hexadecimal digits."""
        return derive(self.secret, "attune fingerprint")[:4].hex()


class _Wrapped(Frozen):
    id: str
    encrypted: str


class _Content(Frozen):
    version: int
    taken_over: bool
    """Whether everything that was stored before is encrypted by now."""
    installation_key: str
    """Its fingerprint."""
    keys: tuple[_Wrapped, ...]
    """The current one first."""


@dataclass(frozen=True)
class StoredKeys:
    """The data keys of a state folder, opened."""

    ring: KeyRing
    opened_with: InstallationKey
    taken_over: bool


def has_keys(folder: Path) -> bool:
    """Whether files in the state folder `folder` are encrypted."""
    return (folder / KEYS).exists() or (folder / COPY).exists()


def read_keys(folder: Path, given: Sequence[InstallationKey]) -> StoredKeys:
    """Open the data keys of the state folder `folder` with one of the installation keys `given`:
    those of both copies, since one may be of an earlier time. Raises WrongKeyError if none of them
    does, and AttuneError if both copies are damaged or cannot be read."""
    problems, opened, wrong = [], list[StoredKeys](), False
    for name in (KEYS, COPY):
        path = folder / name
        try:
            with path.open("rb") as file:
                content = _Content.model_validate_json(file.read(_MOST_BYTES))
            if content.version != _VERSION:
                raise AttuneError(
                    f"{path} is of version {content.version}, this program knows {_VERSION}; start"
                    " a newer Attune"
                )
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        except ValidationError:
            problems.append(f"{path} is damaged")
            continue
        with suppress(WrongKeyError):
            opened.append(_opened(content, given))
            continue
        if any(one.fingerprint == content.installation_key for one in given):
            problems.append(f"{path} is damaged")
        else:
            wrong = True
            problems.append(_told_wrong(path, content, given))
    if opened:
        first = opened[0]
        known = {key.id: key for one in opened for key in one.ring.all}
        del known[first.ring.current.id]
        return replace(first, ring=KeyRing(first.ring.current, tuple(known.values())))
    kind = WrongKeyError if wrong else AttuneError
    raise kind(
        f"what is stored in {folder} cannot be opened: {'; '.join(dict.fromkeys(problems))}"
        + ("" if wrong else "; put a copy of keys.json back")
    )


def write_keys(folder: Path, ring: KeyRing, key: InstallationKey, *, taken_over: bool) -> None:
    """Store `ring` in the state folder `folder`, encrypted with `key`. Raises OSError where it
    cannot be written."""
    content = _Content(
        version=_VERSION,
        taken_over=taken_over,
        installation_key=key.fingerprint,
        keys=tuple(_wrapped(one, key) for one in ring.all),
    )
    data = content.model_dump_json(indent=1).encode() + b"\n"
    write_atomically(folder / KEYS, data)
    write_atomically(folder / COPY, data)


def new_secret() -> str:
    """The content of a new key file: a line of hexadecimal digits."""
    return os.urandom(KEY_BYTES).hex() + "\n"


def read_installation_key(path: Path, where: str) -> InstallationKey:
    """Read an installation key: any LEAST_SECRET_BYTES or more, spaces around them left out.
    Raises AttuneError where the file cannot be read, or holds too little to be a key."""
    try:
        with path.open("rb") as file:
            secret = file.read(MOST_SECRET_BYTES).strip()
    except OSError as error:
        raise AttuneError(f"the key {path} cannot be read: {error.strerror}") from None
    if len(secret) < LEAST_SECRET_BYTES:
        raise AttuneError(
            f"the key {path} has {len(secret)} bytes; a key has {LEAST_SECRET_BYTES} or more"
        )
    return InstallationKey(where, secret)


def _wrapped(key: DataKey, by: InstallationKey) -> _Wrapped:
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + _cipher(by).encrypt(nonce, key.secret, key.id)
    return _Wrapped(id=key.id.hex(), encrypted=sealed.hex())


def _opened(content: _Content, given: Sequence[InstallationKey]) -> StoredKeys:
    for by in given:
        try:
            found = [_unwrapped(one, by) for one in content.keys]
        except (InvalidTag, ValueError, binascii.Error):
            continue
        if found:
            return StoredKeys(KeyRing(found[0], tuple(found[1:])), by, content.taken_over)
    raise WrongKeyError


def _unwrapped(wrapped: _Wrapped, by: InstallationKey) -> DataKey:
    identifier, sealed = bytes.fromhex(wrapped.id), bytes.fromhex(wrapped.encrypted)
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    return DataKey(identifier, _cipher(by).decrypt(nonce, ciphertext, identifier))


def _cipher(key: InstallationKey) -> AESGCM:
    return AESGCM(derive(key.secret, "attune data keys"))


def _told_wrong(path: Path, content: _Content, given: Sequence[InstallationKey]) -> str:
    tried = (
        ", ".join(f"{one.where} has {one.fingerprint}" for one in given) or "there is no key at all"
    )
    return (
        f"{path} needs the installation key {content.installation_key} ({tried}); put that key back"
    )
