"""Files as a source: one long stream, in time, at any speed."""

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.listening.source import CHUNK_SECONDS, WavSource, rechunk
from engines.audio.recordings import read_audio
from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.support.audio_fixtures import cut_off, noise, tone, write_wav
from tests.support.chunks import chunks_of


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    return [
        write_wav(tmp_path / "a.wav", noise(0.7)),
        write_wav(tmp_path / "b.wav", tone(1.1, rate_hz=48_000), 48_000),
    ]


@given(st.lists(st.integers(0, 3 * CHUNK_SAMPLES), max_size=12))
def test_rechunk_loses_nothing(lengths: list[int]) -> None:
    stream = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(stream, np.cumsum(lengths)[:-1]) if lengths else []
    chunks = list(rechunk(blocks))
    assert all(chunk.shape == (CHUNK_SAMPLES,) for chunk in chunks)
    assert len(chunks) == -(-len(stream) // CHUNK_SAMPLES)
    joined = np.concatenate([np.zeros(0, np.float32), *chunks])
    np.testing.assert_array_equal(joined[: len(stream)], stream)
    assert not joined[len(stream) :].any()


def test_files_become_one_stream_with_pauses(recordings: list[Path]) -> None:
    first, second = (read_audio(path) for path in recordings)
    pause = np.zeros(SAMPLE_RATE_HZ // 4, np.float32)
    joined = np.concatenate(list(chunks_of(WavSource(recordings, speed=0.0, pause_seconds=0.25))))
    expected = np.concatenate([first, pause, second, pause])
    np.testing.assert_allclose(joined[: len(expected)], expected, rtol=0, atol=1e-6)
    assert len(joined) - len(expected) < CHUNK_SAMPLES


def test_real_time(recordings: list[Path]) -> None:
    """Chunks come when they have been spoken: never before, whatever the load; that they come in
    time cannot be promised."""
    speed = 8.0
    source = WavSource(recordings[0], speed)
    began = time.monotonic()
    times = [time.monotonic() - began for _ in chunks_of(source)]
    for index, at in enumerate(times):
        assert at >= (index + 1) * CHUNK_SECONDS / speed - 1e-3
    assert len(times) == -(-int(0.7 * SAMPLE_RATE_HZ) // CHUNK_SAMPLES)


def test_a_late_taker_catches_up_and_loses_nothing(recordings: list[Path]) -> None:
    now = [0.0]  # a clock that only the test moves
    speed = 0.02  # who waited for every chunk would wait for half a minute
    chunks = chunks_of(WavSource(recordings[0], speed, clock=lambda: now[0]))
    now[0] = 10.0 / speed
    assert next(chunks) is not None
    now[0] = 100.0 / speed
    began = time.monotonic()
    rest = list(chunks)
    assert len(rest) == 21
    assert time.monotonic() - began < 21 * CHUNK_SECONDS / speed


def test_close_wakes_a_waiting_taker(recordings: list[Path]) -> None:
    source = WavSource(recordings[0], speed=0.001)
    taken: list[Float32] = []
    taker = threading.Thread(target=lambda: taken.extend(chunks_of(source)))
    taker.start()
    source.close()
    taker.join(120)
    assert not taker.is_alive()
    assert taken == []


def test_a_file_that_cannot_be_played_is_refused_at_once(
    recordings: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("hello")
    for bad in (tmp_path / "absent.wav", tmp_path / "text.wav", cut_off(recordings[1], 0.5)):
        with pytest.raises(AttuneError, match=bad.name):
            WavSource([recordings[0], bad])


def test_after_a_damaged_file_comes_the_next(recordings: list[Path], tmp_path: Path) -> None:
    broken = noise(0.5)
    broken[-100] = np.nan
    source = WavSource(
        [write_wav(tmp_path / "nan.wav", broken, subtype="FLOAT"), recordings[0]], speed=0.0
    )
    with pytest.raises(AttuneError, match="nan.wav"):
        list(chunks_of(source))
    assert len(list(chunks_of(source))) == 22
    assert list(chunks_of(source)) == []


def test_a_long_file_is_played_block_by_block(tmp_path: Path) -> None:
    hour = tmp_path / "hour.g722"
    with hour.open("wb") as file:
        file.truncate(3600 * 8000)
    source = WavSource(hour, speed=0.0)
    began = time.process_time()
    chunks = chunks_of(source)
    assert len(list(itertools.islice(chunks, 100))) == 100
    assert time.process_time() - began < 2.0, "the first seconds do not wait for the hour"
    assert source.status().connected
    assert source.status().device == str(hour)
