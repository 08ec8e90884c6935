"""Receipts of what was forgotten, signed with a key of this installation's own. They hold no word
and no sound of what was said."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.schema import Frozen, first_problem

_KEY = "receipts.key"
_FOLDER = "receipts"
_MOST_BYTES = 100_000


class Receipt(Frozen):
    """What was forgotten, and what became of what was learnt from it."""

    number: int
    asked_at: str
    """When the user asked for it, in ISO 8601, UTC."""
    done_at: str
    what: str
    """The kind of scope."""
    utterances: int
    seconds: float
    """Length of their sound."""
    turns: int
    others: int
    """Phrases of the vocabulary, timers, alarms, reminders, and things on lists."""
    withdrawn: tuple[int, ...]
    """The generations that had learnt from them."""
    serves: int | None
    """The generation that serves now; None if there is none."""
    public_key: str = ""
    """The installation's, in hexadecimal digits."""
    signature: str = ""
    """Of all the rest, by Ed25519, in hexadecimal digits."""

    def signed(self, key: Ed25519PrivateKey) -> "Receipt":
        """The same, signed."""
        public = key.public_key().public_bytes_raw().hex()
        bare = self.model_copy(update={"public_key": public, "signature": ""})
        return bare.model_copy(update={"signature": key.sign(bare._content()).hex()})

    def check(self) -> None:
        """Raise AttuneError if the receipt is not as it was signed."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
            bare = self.model_copy(update={"signature": ""})
            key.verify(bytes.fromhex(self.signature), bare._content())
        except (InvalidSignature, ValueError) as error:
            raise AttuneError(
                "the receipt is not as it was signed: it was changed, or is no receipt of Attune's"
            ) from error

    def _content(self) -> bytes:
        fields: dict[str, Any] = self.model_dump(exclude={"signature"}, mode="json")
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


class Receipts:
    """The receipts of an installation."""

    def __init__(self, state_dir: Path) -> None:
        self._state = state_dir
        self._folder = state_dir / _FOLDER

    def write(self, receipt: Receipt) -> Receipt:
        """Sign and store a receipt. Raises AttuneError if the disk is full or the key damaged."""
        signed = receipt.signed(self._key())
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(
                self._folder / f"{receipt.number:04d}.json",
                signed.model_dump_json(indent=2).encode() + b"\n",
            )
        except OSError as error:
            raise AttuneError(f"{self._folder} cannot be written: {error.strerror}") from error
        return signed

    def public_key(self) -> str:
        """The installation's public key, in hexadecimal digits. Raises AttuneError as `write`."""
        return self._key().public_key().public_bytes_raw().hex()

    def _key(self) -> Ed25519PrivateKey:
        path = self._state / _KEY
        try:
            if not path.exists():
                write_atomically(path, Ed25519PrivateKey.generate().private_bytes_raw())
            return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
        except (OSError, ValueError) as error:
            raise AttuneError(
                f"{path}, the key that signs receipts, cannot be used ({error}); remove it, and"
                " another is made"
            ) from error


def read_receipt(path: Path) -> Receipt:
    """Read a receipt, and check its signature. Raises AttuneError if it is none, or was changed."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        receipt = Receipt.model_validate_json(text[:_MOST_BYTES])
    except OSError as error:
        raise AttuneError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        told = " ".join(first_problem(error)).strip()
        raise AttuneError(f"{path} is no receipt of Attune's ({told})") from error
    receipt.check()
    return receipt


def utc(seconds: float) -> str:
    """A time in seconds since the epoch in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
