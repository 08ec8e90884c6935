"""Tokens are named, kept as hashes alone, and taken back at once."""

import os
from pathlib import Path

import pytest

from daemon.http.tokens import SCOPES, Tokens, tokens_path
from engines.errors import AttuneError


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tokens_path(tmp_path))


def test_a_token_is_known_by_its_secret_alone(tokens: Tokens, tmp_path: Path) -> None:
    secret = tokens.add("kitchen", ["hear", "talk"])
    found = tokens.find(secret)
    assert found is not None
    assert (found.name, found.scopes) == ("kitchen", ("hear", "talk"))
    assert tokens.find(secret[:-1]) is None
    assert tokens.find("") is None
    assert secret not in tokens_path(tmp_path).read_text()


def test_each_secret_is_another(tokens: Tokens) -> None:
    secrets = {tokens.add(f"t{number}", ["talk"]) for number in range(20)}
    assert len(secrets) == 20
    assert all(len(secret) > 40 for secret in secrets)


def test_another_process_adds_and_removes(tokens: Tokens, tmp_path: Path) -> None:
    other = Tokens(tokens_path(tmp_path))
    assert other.all() == ()
    secret = tokens.add("phone", list(SCOPES))
    assert other.find(secret) is not None
    tokens.remove("phone")
    assert other.find(secret) is None
    assert other.all() == ()


def test_what_is_wrong_is_told(tokens: Tokens) -> None:
    tokens.add("phone", ["talk"])
    for name in ("phone", "a b", "", "x" * 65, "../x"):
        with pytest.raises(AttuneError):
            tokens.add(name, ["talk"])
    with pytest.raises(AttuneError):
        tokens.add("none", [])
    with pytest.raises(AttuneError, match="no token is called"):
        tokens.remove("nobody")
    assert [token.name for token in tokens.all()] == ["phone"]


def test_a_damaged_file_lets_nobody_in(tokens: Tokens, tmp_path: Path) -> None:
    secret = tokens.add("phone", ["talk"])
    tokens_path(tmp_path).write_text('{"tokens": [{"name": "phone"}]}')
    for _ in range(2):
        with pytest.raises(AttuneError, match="cannot be read"):
            tokens.find(secret)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "nowhere" / "tokens.json")
    with pytest.raises(AttuneError, match="cannot be written"):
        tokens.add("phone", ["talk"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_file_belongs_to_whoever_has_the_folder(tokens: Tokens, tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    tokens.add("phone", ["talk"])
    found = tokens_path(tmp_path).stat()
    assert (found.st_uid, found.st_gid) == (1234, 1234)


def test_only_the_owner_reads_the_file(tokens: Tokens, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tokens.add("phone", ["talk"])
    finally:
        os.umask(before)
    assert tokens_path(tmp_path).stat().st_mode & 0o077 == 0
