"""The tokens by which clients of HTTP are known: named, with scopes, and kept as hashes alone.

A token has 256 random bits, so its hash needs no salt and no slow function.
"""

import hmac
import json
import os
import secrets
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.schema import Frozen, first_problem

Scope = Literal["hear", "talk", "learn", "metrics", "manage"]
SCOPES: dict[Scope, str] = {
    "hear": "have recordings turned into text",
    "talk": "have questions answered, and texts said",
    "learn": "start, follow and end rounds of training",
    "metrics": "read the metrics",
    "manage": "all that the command line does, and follow what is said at home",
}
"""What each scope allows."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_BEGINS = "attune-"
_MOST_TOKENS = 100


class Token(Frozen):
    """One token, without its secret."""

    name: str = Field(pattern=NAME_PATTERN)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    made_unix_seconds: float


class _Kept(Frozen):
    tokens: tuple[Token, ...] = ()


class Tokens:
    """The tokens in one file, which another process may change at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        """The file's time and size when it was read; None if it was not there."""
        self._tokens: tuple[Token, ...] = ()

    def all(self) -> tuple[Token, ...]:
        """All tokens. Raises AttuneError if the file is damaged."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._read_at, self._tokens = None, ()
            return ()
        state = (found.st_mtime_ns, found.st_size)
        if state != self._read_at:
            self._tokens = self._read()
            self._read_at = state
        return self._tokens

    def find(self, secret: str) -> Token | None:
        """The token of which `secret` is the secret; None if there is none. It takes the same time
        for every secret."""
        given, found = _hash(secret), None
        for token in self.all():
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found

    def add(self, name: str, scopes: Sequence[Scope]) -> str:
        """Make a token, and return its secret, which is kept nowhere. Raises AttuneError if the
        name is taken or is none, or there are too many."""
        tokens = self.all()
        if any(token.name == name for token in tokens):
            raise AttuneError(f"there is a token called {name} already; remove it, or name another")
        if len(tokens) >= _MOST_TOKENS:
            raise AttuneError(f"there are {_MOST_TOKENS} tokens already; remove one")
        secret = _BEGINS + secrets.token_urlsafe(32)
        try:
            token = Token(
                name=name,
                sha256=_hash(secret),
                scopes=tuple(dict.fromkeys(scopes)),
                made_unix_seconds=round(time.time()),
            )
        except ValidationError as error:
            where, what = first_problem(error)
            raise AttuneError(f"no token can be made: {where}: {what}") from error
        self._write((*tokens, token))
        return secret

    def remove(self, name: str) -> None:
        """Withdraw a token. Raises AttuneError if there is none of that name."""
        tokens = self.all()
        kept = tuple(token for token in tokens if token.name != name)
        if len(kept) == len(tokens):
            raise AttuneError(f"no token is called {name}; `attune tokens list` shows them")
        self._write(kept)

    def _read(self) -> tuple[Token, ...]:
        try:
            return _Kept.model_validate_json(self._path.read_bytes()).tokens
        except (ValidationError, OSError) as error:
            raise AttuneError(
                f"the tokens in {self._path} cannot be read, so none is taken; repair the file, or"
                " remove it and make new ones"
            ) from error

    def _write(self, tokens: tuple[Token, ...]) -> None:
        kept = json.dumps(_Kept(tokens=tokens).model_dump(), indent=1)
        try:
            write_atomically(self._path, kept.encode())
            if os.geteuid() == 0:  # the daemon, which has another user, has to read it
                owner = self._path.parent.stat()
                os.chown(self._path, owner.st_uid, owner.st_gid)
        except OSError as error:
            raise AttuneError(
                f"the tokens cannot be written to {self._path} ({error.strerror}); do it as root,"
                " or as the daemon's user"
            ) from error


def checked_scope(name: str) -> Scope:
    """The scope of that name. Raises AttuneError where there is none."""
    for scope in SCOPES:
        if scope == name:
            return scope
    raise AttuneError(f"there is no scope {name!r}; there are {', '.join(SCOPES)}")


def tokens_path(state_dir: Path) -> Path:
    """Where the tokens are kept."""
    return state_dir / "tokens.json"


def _hash(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()
