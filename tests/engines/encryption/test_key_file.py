"""The data keys on the disk: opened by the installation key alone, and there as long as one of two
copies is whole."""

from pathlib import Path

import pytest

from engines.encryption.key_file import (
    COPY,
    KEYS,
    InstallationKey,
    WrongKeyError,
    has_keys,
    new_secret,
    read_installation_key,
    read_keys,
    write_keys,
)
from engines.encryption.keys import DataKey, KeyRing
from engines.errors import AttuneError

MINE = InstallationKey("a file", b"m" * 32)
OTHER = InstallationKey("a credential", b"o" * 32)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(DataKey.new(), (DataKey.new(),))
    assert not has_keys(tmp_path)
    write_keys(tmp_path, ring, MINE, taken_over=True)
    return ring


def test_they_are_opened_by_their_key_alone(tmp_path: Path, ring: KeyRing) -> None:
    found = read_keys(tmp_path, [OTHER, MINE])
    assert (found.ring, found.opened_with, found.taken_over) == (ring, MINE, True)
    with pytest.raises(WrongKeyError, match=f"needs the installation key {MINE.fingerprint}") as no:
        read_keys(tmp_path, [OTHER])
    assert f"a credential has {OTHER.fingerprint}" in str(no.value)
    assert "put that key back" in str(no.value)
    with pytest.raises(WrongKeyError, match="there is no key at all"):
        read_keys(tmp_path, [])


def test_no_secret_is_in_the_files_or_in_what_is_printed(tmp_path: Path, ring: KeyRing) -> None:
    content = (tmp_path / KEYS).read_text() + repr(ring) + repr(MINE)
    for secret in (MINE.secret.hex(), *(key.secret.hex() for key in ring.all)):
        assert secret not in content
    assert str(MINE.secret) not in content
    for name in (KEYS, COPY):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_any_bit_of_one_copy_may_flip(tmp_path: Path, ring: KeyRing) -> None:
    whole = (tmp_path / KEYS).read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (tmp_path / KEYS).write_bytes(damaged)
        assert read_keys(tmp_path, [MINE]).ring.all == ring.all
    (tmp_path / KEYS).unlink()
    assert has_keys(tmp_path)
    assert read_keys(tmp_path, [MINE]).ring == ring


def test_where_both_are_damaged_that_is_said(tmp_path: Path, ring: KeyRing) -> None:
    (tmp_path / KEYS).write_bytes(b"{")
    text = (tmp_path / COPY).read_text()
    key = ring.current.id.hex()
    (tmp_path / COPY).write_text(text.replace(key, key[::-1]))
    with pytest.raises(AttuneError, match=r"keys\.json is damaged; .*keys\.copy\.json is damaged"):
        read_keys(tmp_path, [MINE])


def test_a_newer_form_is_not_guessed_at(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / KEYS
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(AttuneError, match="start a newer Attune"):
        read_keys(tmp_path, [MINE])


def test_a_key_is_any_long_secret(tmp_path: Path) -> None:
    path = tmp_path / "attune.key"
    path.write_text(new_secret())
    assert len(read_installation_key(path, "there").secret) == 64
    path.write_text("too short")
    with pytest.raises(AttuneError, match="has 9 bytes; a key has 32 or more"):
        read_installation_key(path, "there")
    with pytest.raises(AttuneError, match="cannot be read"):
        read_installation_key(tmp_path / "none", "there")
