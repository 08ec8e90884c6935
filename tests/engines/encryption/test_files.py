"""Files in folders that hold encrypted ones: written, read, handed to libraries and to children."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.audio.recordings import read_audio, write_flac
from engines.encryption.files import (
    UnreadableError,
    content_sha256,
    copy_file,
    encrypt_again,
    key_id_of,
    read_file,
    readable,
    write_file,
    writing,
)
from engines.encryption.folders import plainly, protect, ring_of
from engines.encryption.from_parent import VARIABLE, keys_for
from engines.encryption.keys import DataKey, KeyRing
from engines.files import sha256_of
from engines.generations.card import Card
from engines.generations.folder import read_generation, write_generation
from tests.support.fakes import tone

SECRET = b"my aunt keeps seventeen xylophones"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder whose files are encrypted."""
    folder = tmp_path / "secret"
    folder.mkdir()
    ring = KeyRing(DataKey.new())
    protect([folder], lambda: ring)
    return folder


def test_they_are_encrypted_there_and_plain_elsewhere(secret: Path, tmp_path: Path) -> None:
    for folder in (secret / "deeper", tmp_path / "open"):
        folder.mkdir()
        write_file(folder / "a", SECRET)
        assert read_file(folder / "a") == SECRET
    assert SECRET not in (secret / "deeper" / "a").read_bytes()
    assert (tmp_path / "open" / "a").read_bytes() == SECRET
    protect([secret / "base"], plainly)
    (secret / "base").mkdir()
    write_file(secret / "base" / "a", SECRET)
    assert (secret / "base" / "a").read_bytes() == SECRET


def test_the_base_stays_plain_among_encrypted_generations(tmp_path: Path) -> None:
    ring, root = KeyRing(DataKey.new()), tmp_path / "generations"
    protect([root], lambda: ring)
    protect([root / "0000"], plainly)
    (tmp_path / "weights").write_bytes(SECRET)
    for number in (0, 1):
        card = Card(number=number, parent=None, created_at="", recipe="some")
        files = {
            "projector.onnx": tmp_path / "weights",
            "projector.safetensors": tmp_path / "weights",
        }
        made = write_generation(root, number, card, files)
        keys = {key_id_of(path) for path in made.folder.iterdir()}
        assert keys == {None if number == 0 else ring.current.id}
        assert read_generation(made.folder).card.number == number


def test_a_plain_file_is_not_taken_for_one(secret: Path) -> None:
    (secret / "a").write_bytes(SECRET)
    with pytest.raises(UnreadableError, match="not encrypted by Attune"):
        read_file(secret / "a")
    with pytest.raises(UnreadableError), readable(secret / "a"):
        pass
    write_flac(secret.parent / "a.flac", tone(1.0, 300))
    (secret / "a.flac").write_bytes((secret.parent / "a.flac").read_bytes())
    with pytest.raises(UnreadableError, match=r"a\.flac cannot be read"):
        read_audio(secret / "a.flac")


def test_libraries_that_want_a_path_leave_nothing_on_the_disk(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.arange(100_000, dtype=np.float32)
    with writing(secret / "numbers") as path:
        numbers.tofile(path)
        assert list(secret.iterdir()) == []
    with pytest.raises(RuntimeError), writing(secret / "numbers"):
        raise RuntimeError
    with readable(secret / "numbers") as path:
        assert np.array_equal(np.fromfile(path, np.float32), numbers)
    assert numbers[1000:1100].tobytes() not in (secret / "numbers").read_bytes()
    assert [one.name for one in secret.iterdir()] == ["numbers"]


def test_sound_is_encrypted_and_heard(secret: Path) -> None:
    write_flac(secret / "a.flac", tone(1.0, 300))
    assert b"fLaC" not in (secret / "a.flac").read_bytes()
    assert np.allclose(read_audio(secret / "a.flac"), tone(1.0, 300), atol=1e-4)


def test_a_copy_is_as_its_folder_wants_it(secret: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SECRET)
    sums = [copy_file(tmp_path / "a", secret / "a"), copy_file(secret / "a", tmp_path / "b")]
    assert sums == [sha256_of(tmp_path / "a")] * 2 == [content_sha256(secret / "a")] * 2
    assert (tmp_path / "b").read_bytes() == SECRET
    assert key_id_of(secret / "a") is not None


def test_more_than_is_wanted_is_not_read(secret: Path) -> None:
    write_file(secret / "a", bytes(1000))
    with pytest.raises(UnreadableError, match="larger than 999 bytes"):
        read_file(secret / "a", 999)
    assert len(read_file(secret / "a", 1000)) == 1000


def test_another_key_takes_over_file_by_file(secret: Path) -> None:
    write_file(secret / "a", SECRET)
    os.utime(secret / "a", (1000, 2000))
    old = ring_of(secret)
    assert old is not None
    assert not encrypt_again(secret / "a")
    both = KeyRing(DataKey.new(), old.all)
    protect([secret], lambda: both)
    assert read_file(secret / "a") == SECRET
    assert encrypt_again(secret / "a")
    assert key_id_of(secret / "a") == both.current.id
    assert (secret / "a").stat().st_mtime == 2000
    alone = KeyRing(both.current)
    protect([secret], lambda: alone)
    assert read_file(secret / "a") == SECRET
    (secret / "plain").write_bytes(SECRET)
    with pytest.raises(UnreadableError):
        encrypt_again(secret / "plain")
    assert encrypt_again(secret / "plain", plain_too=True)
    assert read_file(secret / "plain") == SECRET


def test_a_child_gets_the_keys_and_nobody_else_sees_them(secret: Path) -> None:
    write_file(secret / "a", SECRET)
    program = (
        "import os, sys; from pathlib import Path;"
        "from engines.encryption.from_parent import take_keys;"
        "from engines.encryption.files import read_file, write_file;"
        "take_keys(); path = Path(sys.argv[1]);"
        "write_file(path / 'b', read_file(path / 'a'));"
        "print(Path('/proc/self/environ').read_bytes() + Path('/proc/self/cmdline').read_bytes())"
    )
    again = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
    with keys_for(secret / "a") as keys:
        assert keys is not None
        seen = subprocess.run(
            [sys.executable, "-c", again, program, str(secret)],
            stdin=keys,
            env={**os.environ, VARIABLE: "1"},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    assert read_file(secret / "b") == SECRET
    assert key_id_of(secret / "b") is not None
    ring = ring_of(secret)
    assert ring is not None
    assert ring.current.secret.hex() not in seen
    with keys_for(secret.parent / "open") as none:
        assert none is None
