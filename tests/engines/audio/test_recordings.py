"""Recordings: whatever people record can be read, and whatever is wrong with a file is said in one
line."""

import os
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engines.audio.recordings import read_audio, write_flac
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ
from tests.support.audio_fixtures import (
    cut_off,
    noise,
    pitch_hz,
    prompt,
    tone,
    wav_header,
    write_wav,
)


def refusal(path: Path, max_seconds: float = 300.0) -> str:
    with pytest.raises(AttuneError) as caught:
        read_audio(path, max_seconds)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "; " in message, "says what to do"
    return message


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Within, a file can grow to `size_bytes` and then its writes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6, 25])
def test_any_rate_and_channels_become_16_khz_mono(
    tmp_path: Path, rate_hz: int, channels: int
) -> None:
    source = np.repeat(tone(1.0, 440.0, rate_hz)[:, None], channels, axis=1)
    samples = read_audio(write_wav(tmp_path / "a.wav", source, rate_hz))
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(SAMPLE_RATE_HZ, abs=2)
    assert pitch_hz(samples) == pytest.approx(440.0, abs=1.0)
    assert np.sqrt(np.mean(samples[1000:-1000] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(
    ("subtype", "error"),
    [
        ("PCM_U8", 1 / 100),
        ("PCM_16", 1 / 30_000),
        ("PCM_24", 1e-6),
        ("PCM_32", 1e-6),
        ("FLOAT", 0),
        ("DOUBLE", 1e-7),
    ],
)
def test_any_wav_sample_format(tmp_path: Path, subtype: str, error: float) -> None:
    source = noise(0.5)
    samples = read_audio(write_wav(tmp_path / "a.wav", source, subtype=subtype))
    np.testing.assert_allclose(samples, source, rtol=0, atol=error)


@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64"])
def test_any_common_container(tmp_path: Path, container: str) -> None:
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, tone(1.0), SAMPLE_RATE_HZ, format=container)
    samples = read_audio(path)
    assert len(samples) == pytest.approx(SAMPLE_RATE_HZ, abs=2000)
    assert pitch_hz(samples) == pytest.approx(440.0, abs=1.0)


def test_raw_g722_is_known_by_its_name(general_speech: Path) -> None:
    samples = prompt(general_speech, "vm-goodbye")
    # 64 kbit/s at 16 kHz: two samples a byte.
    assert len(samples) == 2 * (general_speech / "vm-goodbye.g722").stat().st_size
    assert 0.1 < np.abs(samples).max() <= 1.0


@pytest.mark.parametrize("quieter", [1.0, 0.8])
def test_of_channels_that_cancel_out_the_louder_is_heard(tmp_path: Path, quieter: float) -> None:
    source = np.concatenate([noise(0.5, 0.002), tone(1.0), noise(0.5, 0.002, seed=1)])
    channels = np.stack([-quieter * source, source], axis=1)
    # No two microphones hiss alike.
    channels += np.stack([noise(2.0, 0.001, seed=seed) for seed in (2, 3)], axis=1)
    samples = read_audio(write_wav(tmp_path / "a.wav", channels))
    assert abs(float(np.abs(samples[8_000:24_000]).max())) == pytest.approx(
        0.3, rel=0.05 if quieter == 1.0 else 0.02
    )
    assert pitch_hz(samples[8_000:24_000]) == pytest.approx(440.0, abs=1.0)


def test_channels_that_do_not_cancel_out_are_averaged(tmp_path: Path) -> None:
    left, right = noise(1.0, seed=1), noise(1.0, seed=2)
    samples = read_audio(
        write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    )
    np.testing.assert_allclose(samples, (left + right) / 2, rtol=0, atol=1e-6)


def test_a_little_over_full_scale_is_clipped(tmp_path: Path) -> None:
    samples = read_audio(write_wav(tmp_path / "a.wav", tone(0.5, amplitude=1.5), subtype="FLOAT"))
    assert np.abs(samples).max() == 1.0


def test_missing_folder_empty_and_silent(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "absent.wav")
    assert "is not a file" in refusal(tmp_path)
    (tmp_path / "empty.wav").touch()
    assert "is empty" in refusal(tmp_path / "empty.wav")
    (tmp_path / "header.wav").write_bytes(wav_header(0))
    assert "no samples" in refusal(tmp_path / "header.wav")
    assert "is silent" in refusal(write_wav(tmp_path / "zeros.wav", np.zeros(16_000, np.float32)))
    assert "is silent" in refusal(
        write_wav(tmp_path / "faint.wav", noise(1.0, 1e-5), subtype="FLOAT")
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.5))
    path.chmod(0)
    assert "permissions" in refusal(path)


@pytest.mark.parametrize(
    "name", ["notes.txt", "notes.wav", "notes.mp3", "notes.g722", "playlist.ffconcat"]
)
def test_text_in_place_of_audio(tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0))
    (tmp_path / name).write_text("ffconcat version 1.0\nfile a.wav\n# für Elise\n" * 200)
    assert "is text, not audio" in refusal(tmp_path / name)


def test_a_playlist_does_not_open_other_files(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0))
    # No UTF-8: not taken for text.
    (tmp_path / "list.ffconcat").write_bytes(b"ffconcat version 1.0\nfile a.wav\n# \xff\n")
    refusal(tmp_path / "list.ffconcat")


def test_random_bytes(tmp_path: Path) -> None:
    (tmp_path / "random.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not audio" in refusal(tmp_path / "random.wav")


def test_an_unknown_coding(tmp_path: Path) -> None:
    content = bytearray(write_wav(tmp_path / "a.wav", tone(1.0)).read_bytes())
    content[20:22] = b"\x99\x99"  # the field that says how samples are coded
    (tmp_path / "a.wav").write_bytes(content)
    assert "cannot be decoded" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(tmp_path: Path, bad: float) -> None:
    source = tone(1.0)
    source[9_000] = bad
    assert "NaN or infinity" in refusal(write_wav(tmp_path / "a.wav", source, subtype="FLOAT"))


def test_float_samples_in_the_range_of_integers(tmp_path: Path) -> None:
    assert "full scale" in refusal(
        write_wav(tmp_path / "a.wav", tone(1.0) * 32768, subtype="FLOAT")
    )


@pytest.mark.parametrize(
    "container", ["WAV", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF", "MP3", "OGG"]
)
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated(tmp_path: Path, container: str, keep: float) -> None:
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, noise(3.0), SAMPLE_RATE_HZ, format=container)
    if container == "OGG" and keep > 0.1:
        # Ogg does not say how long it is: every page stands alone.
        assert len(read_audio(cut_off(path, keep))) < 3.0 * SAMPLE_RATE_HZ
    else:
        assert "truncated" in refusal(cut_off(path, keep))


@pytest.mark.parametrize("claimed_bytes", [0, 0x7FFFF000, 0xFFFFFFFF - 36])
def test_a_wav_that_was_piped_does_not_know_its_size(tmp_path: Path, claimed_bytes: int) -> None:
    (tmp_path / "a.wav").write_bytes(
        wav_header(claimed_bytes) + (noise(1.0) * 32767).astype("<i2").tobytes()
    )
    assert len(read_audio(tmp_path / "a.wav")) == SAMPLE_RATE_HZ


def test_an_hour_is_refused_by_its_header(tmp_path: Path) -> None:
    size_bytes = 3600 * 2 * SAMPLE_RATE_HZ
    with (tmp_path / "hour.wav").open("wb") as file:
        file.write(wav_header(size_bytes))
        file.truncate(44 + size_bytes)
    assert "longer than 300 s" in refusal(tmp_path / "hour.wav")


@pytest.mark.parametrize("limit_seconds", [29.5, 2.25, 3.0])
def test_a_limit_is_printed_as_it_is(tmp_path: Path, limit_seconds: float) -> None:
    path = write_wav(tmp_path / "a.wav", noise(limit_seconds + 0.2))
    assert f"longer than {limit_seconds:g} s;" in refusal(path, limit_seconds)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_no_more_samples_come_than_the_limit_says(tmp_path: Path, rate_hz: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone(1.5, rate_hz=rate_hz)[: int(1.5 * rate_hz)], rate_hz)
    assert len(read_audio(path, 1.5)) <= 1.5 * SAMPLE_RATE_HZ


def test_an_hour_without_a_header_is_refused_without_holding_it(tmp_path: Path) -> None:
    with (tmp_path / "hour.g722").open("wb") as file:
        file.write(b"\x00\xff" * 4000)
        file.truncate(3600 * 8000)
    tracemalloc.start()
    try:
        assert "longer than 10 s" in refusal(tmp_path / "hour.g722", max_seconds=10.0)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 10 * 4 * SAMPLE_RATE_HZ


def test_flac_keeps_16_bits(tmp_path: Path) -> None:
    source = np.concatenate([noise(1.0), tone(0.1, amplitude=1.2)])
    write_flac(tmp_path / "a.flac", source)
    np.testing.assert_allclose(
        read_audio(tmp_path / "a.flac"), np.clip(source, -1, 1), rtol=0, atol=1 / 32768
    )
    assert soundfile.info(tmp_path / "a.flac").subtype == "PCM_16"
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write_flac(path, tone(0.5))
    before = path.read_bytes()
    with (
        largest_file(10_000),
        pytest.raises(AttuneError, match="cannot be written .*space on its disk"),
    ):
        write_flac(path, noise(5.0))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="cannot be written"):
        write_flac(tmp_path / "absent" / "a.flac", tone(0.5))
