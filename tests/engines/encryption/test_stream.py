"""The format of encrypted files: what Tink makes of it, and every way of damaging it."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.encryption.keys import DataKey, KeyRing
from engines.encryption.stream import (
    HEAD_BYTES,
    MAGIC,
    DamagedError,
    UnknownKeyError,
    decrypt,
    encrypt,
)

KEY = DataKey(bytes(range(8)), bytes(range(32)))
RING = KeyRing(KEY)
BY_TINK = bytes.fromhex(
    "415454554e45010a000102030405060728a4b5496d765b007c8a54371a5f1ba9a86d28b7b3259f5fff2ad1c782a2"
    "6cf92aada3364a27025261cf47a704080e8cb6463a11bcde5e94e36f94675a847482fc524900b9770450698131be"
    "5e54326c81"
)
"""What tink 1.16.1 made of a text with the key above (AES256_GCM_HKDF_1MB, the head as associated
data), behind that head."""
MIB = 1 << 20


def encrypted(plain: bytes, key: DataKey = KEY) -> bytes:
    target = io.BytesIO()
    encrypt(io.BytesIO(plain), target, key)
    return target.getvalue()


def decrypted(content: bytes, ring: KeyRing = RING) -> bytes:
    found: list[bytes] = []
    decrypt(io.BytesIO(content), found.append, ring.find)
    return b"".join(found)


def test_what_tink_wrote_is_read() -> None:
    assert decrypted(BY_TINK) == b"turn the kitchen light on"


@pytest.mark.parametrize(
    "size", [0, 1, 1000, MIB - 57, MIB - 56, MIB - 55, 2 * MIB - 72, 2 * MIB - 71, 3 * MIB]
)
def test_every_length_comes_back(size: int) -> None:
    plain = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    content = encrypted(plain[:size])
    assert decrypted(content) == plain[:size]
    segments = 1 + max(0, -(-(size - (MIB - 56)) // (MIB - 16)))
    assert len(content) == HEAD_BYTES + 40 + size + 16 * segments


def test_the_same_text_is_never_the_same_file() -> None:
    assert encrypted(b"marmalade") != encrypted(b"marmalade")
    assert b"marmalade" not in encrypted(b"marmalade")


@given(st.binary(max_size=300), st.data())
def test_a_flipped_bit_anywhere_is_noticed(plain: bytes, data: st.DataObject) -> None:
    content = bytearray(encrypted(plain))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises((DamagedError, UnknownKeyError)):
        decrypted(bytes(content))


@given(st.binary(max_size=100), st.data())
def test_so_is_what_is_cut_off_or_added(plain: bytes, data: st.DataObject) -> None:
    content = encrypted(plain)
    with pytest.raises(DamagedError):
        decrypted(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DamagedError):
        decrypted(content + data.draw(st.binary(min_size=1, max_size=50)))


def test_whole_segments_cannot_be_left_out_swapped_or_added() -> None:
    content = encrypted(b"".join(bytes([n]) * MIB for n in range(4)))
    first = HEAD_BYTES + MIB
    pieces = [content[first + n * MIB : first + (n + 1) * MIB] for n in range(3)]
    for wrong in (pieces[:1], pieces[:2], [pieces[1], pieces[0], pieces[2]], [*pieces, pieces[2]]):
        with pytest.raises(DamagedError):
            decrypted(content[:first] + b"".join(wrong))


def test_another_key_is_no_key() -> None:
    with pytest.raises(UnknownKeyError, match="0001020304050607"):
        decrypted(BY_TINK, KeyRing(DataKey.new()))
    forged = KeyRing(DataKey(KEY.id, bytes(32)))
    with pytest.raises(DamagedError):
        decrypted(BY_TINK, forged)
    with pytest.raises(DamagedError, match="not encrypted by Attune"):
        decrypted(b"fLaC" + bytes(100))
    assert MAGIC not in b"fLaC"
