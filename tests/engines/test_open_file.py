"""Files that are opened, or handed over open: regular ones only, and never a wait."""

import os
import socket
from pathlib import Path

import pytest

from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.open_file import OpenFile, open_file
from tests.support.audio_fixtures import tone, write_wav


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket"])
def test_what_is_no_file_is_refused_at_once_by_path_and_by_descriptor(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "odd.wav"
    ends: list[socket.socket] = []
    if kind == "folder":
        path.mkdir()
        descriptor = os.open(path, os.O_RDONLY)
    elif kind == "pipe":
        os.mkfifo(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    elif kind == "device":
        path.symlink_to("/dev/zero")
        descriptor = os.open(path, os.O_RDONLY)
    else:
        ends = list(socket.socketpair())
        ends.append(socket.socket(socket.AF_UNIX))
        ends[-1].bind(str(path))
        descriptor = os.dup(ends[0].fileno())
    line = rf"odd\.wav is not a file but a {kind}; "
    try:
        with pytest.raises(AttuneError, match=line):
            open_file(path)
        with pytest.raises(AttuneError, match=line):
            OpenFile.of_descriptor(descriptor, "odd.wav")
        with pytest.raises(AttuneError, match=line):
            read_audio(path)
    finally:
        os.close(descriptor)
        for end in ends:
            end.close()


@pytest.mark.parametrize("name", ["none.wav", "a\0b.wav", "file/none.wav", "x" * 300])
def test_what_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AttuneError) as caught:
        open_file(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_a_descriptor_is_read_from_its_start_and_left_where_it_was(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.5))
    with path.open("rb") as file:
        file.seek(1000)
        with OpenFile.of_descriptor(file.fileno(), "mine.wav") as recording:
            assert len(read_audio(recording)) == 8_000
            assert len(read_audio(recording)) == 8_000
        assert file.tell() == 1000
    with pytest.raises(AttuneError, match=r"mine\.wav was closed"):
        recording.read_at(0, 1)


def test_a_file_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "a.wav", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"RIFF")
    with (
        OpenFile(descriptor, "a.wav") as recording,
        pytest.raises(AttuneError, match=r"a\.wav cannot be read"),
    ):
        read_audio(recording)


def test_a_file_that_grows_is_read_up_to_where_it_was_and_one_that_shrinks_is_told(
    tmp_path: Path,
) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.5))
    size_bytes = path.stat().st_size
    with open_file(path) as recording:
        with path.open("ab") as file:
            file.write(bytes(1000))
        assert len(recording.read_at(0, 1 << 20)) == size_bytes
        os.truncate(path, 100)
        with pytest.raises(AttuneError, match="became shorter while it was read"):
            read_audio(recording)
