"""Headers of recordings: what was cut off is noticed, what is only a placeholder is not believed,
and no header ends badly."""

import resource
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.audio.recordings import MAX_STREAM_SECONDS, check_audio, read_audio
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.support.audio_fixtures import cut_off, noise, pitch_hz, tone, wav_header, write_wav

PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def refusal(path: Path, max_seconds: float = 29.5) -> str:
    with pytest.raises(AttuneError) as caught:
        read_audio(path, max_seconds)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "; " in message, "says what to do"
    return message


def chunk(name: bytes, body: bytes, size: int | None = None, pad: bool = True) -> bytes:
    return (
        name
        + struct.pack("<I", len(body) if size is None else size)
        + body
        + b"\0" * (len(body) % 2 if pad else 0)
    )


def riff(*chunks: bytes, tag: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return tag + struct.pack("<I", len(body) if size is None else size) + body


def form(bits: int = 16, channels: int = 1, tag: int = 1, block_bytes: int | None = None) -> bytes:
    block = channels * bits // 8 if block_bytes is None else block_bytes
    return chunk(
        b"fmt ",
        struct.pack("<HHIIHH", tag, channels, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * block, block, bits),
    )


def pcm(samples: Float32) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


SOUND = pcm(noise(1.0))


def rf64(data: bytes, *between: bytes) -> bytes:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(data), len(data) // 2, 0))
    return riff(
        ds64, form(), *between, chunk(b"data", data, 0xFFFFFFFF), tag=b"RF64", size=0xFFFFFFFF
    )


@pytest.mark.parametrize("metadata_bytes", [0, 7, 6_000, 300_001])
@pytest.mark.parametrize(
    "make",
    [lambda extra: riff(extra, form(), chunk(b"data", SOUND)), lambda extra: rf64(SOUND, extra)],
)
def test_what_was_cut_off_is_noticed_however_much_metadata_goes_before(
    tmp_path: Path, metadata_bytes: int, make: Callable[[bytes], bytes]
) -> None:
    whole = make(chunk(b"bext", bytes(metadata_bytes)))
    (tmp_path / "a.wav").write_bytes(whole)
    assert len(read_audio(tmp_path / "a.wav")) == SAMPLE_RATE_HZ
    (tmp_path / "a.wav").write_bytes(whole[: -len(SOUND) // 2])
    assert f"truncated ({len(SOUND) // 2} of {len(SOUND)} bytes are missing)" in refusal(
        tmp_path / "a.wav"
    )
    with pytest.raises(AttuneError, match="truncated"):
        check_audio(tmp_path / "a.wav", MAX_STREAM_SECONDS)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("matroska", "pcm_s16le"), ("webm", "libopus"), ("ipod", "alac"), ("mp4", "aac")],
)
def test_what_was_cut_off_of_other_containers_is_noticed(
    tmp_path: Path, container: str, codec: str
) -> None:
    rate_hz = 48_000 if codec == "libopus" else SAMPLE_RATE_HZ
    path = tmp_path / f"a.{container}"
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for start in range(0, 3 * rate_hz, 960):
            block = (noise(0.06, seed=start)[:960] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert len(read_audio(path)) == pytest.approx(3 * SAMPLE_RATE_HZ, abs=2000)
    assert "truncated" in refusal(cut_off(path, 0.6))


@pytest.mark.parametrize(
    "claimed_bytes", [0, 2_000_000_000, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36]
)
def test_a_size_far_beyond_what_is_taken_is_a_placeholder(
    tmp_path: Path, claimed_bytes: int
) -> None:
    data = chunk(b"data", SOUND, claimed_bytes)
    (tmp_path / "a.wav").write_bytes(riff(form(), data, size=min(claimed_bytes + 36, 0xFFFFFFFF)))
    assert len(read_audio(tmp_path / "a.wav", 29.5)) == SAMPLE_RATE_HZ
    check_audio(tmp_path / "a.wav", MAX_STREAM_SECONDS)


def test_a_size_that_could_be_meant_is_believed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_header(60 * 2 * SAMPLE_RATE_HZ) + SOUND)
    assert "truncated" in refusal(tmp_path / "a.wav")


def test_nothing_but_metadata_after_no_sound_is_no_sound(tmp_path: Path) -> None:
    notes = chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"a comment of some length "))
    (tmp_path / "a.wav").write_bytes(riff(form(), chunk(b"data", b""), notes))
    assert "no samples" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("valid_bits", "bits"), [(24, 32), (20, 32), (16, 32), (16, 24), (8, 16), (20, 24), (12, 16)]
)
def test_samples_in_wider_containers_are_heard_as_libsndfile_hears_them(
    tmp_path: Path, valid_bits: int, bits: int
) -> None:
    step = 2.0 ** (bits - valid_bits)
    wide = np.round(noise(0.5) * 2 ** (bits - 1) / step) * step
    size = bits // 8
    packed = wide.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :size].tobytes()
    block = struct.pack(
        "<HHIIHHHHI",
        0xFFFE,
        1,
        SAMPLE_RATE_HZ,
        size * SAMPLE_RATE_HZ,
        size,
        bits,
        22,
        valid_bits,
        4,
    )
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", block + PCM_GUID), chunk(b"data", packed)))
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "subtype", ["ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "PCM_U8", "DOUBLE", "GSM610", "G721_32"]
)
def test_wav_in_any_coding_is_heard(tmp_path: Path, subtype: str) -> None:
    path = write_wav(tmp_path / "a.wav", tone(1.0), subtype=subtype)
    assert pitch_hz(read_audio(path)) == pytest.approx(440.0, abs=2.0)
    assert "truncated" in refusal(cut_off(path, 0.7))


@pytest.mark.parametrize("container", ["VOC", "SDS", "PVF", "IRCAM", "NIST", "MAT5"])
def test_a_whole_recording_in_a_container_that_is_not_taken_says_so(
    tmp_path: Path, container: str
) -> None:
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, tone(1.0), SAMPLE_RATE_HZ, format=container, subtype="PCM_16")
    message = refusal(path)
    assert "truncated" not in message or "not audio" in message
    if container in ("VOC", "SDS", "NIST"):
        assert "is coded in a way that cannot be decoded; save it as WAV or FLAC" in message


@pytest.mark.parametrize("block_bytes", [1, 3, 4, 7, 0xFFFF])
def test_a_header_that_contradicts_itself_is_told(tmp_path: Path, block_bytes: int) -> None:
    (tmp_path / "a.wav").write_bytes(riff(form(block_bytes=block_bytes), chunk(b"data", SOUND)))
    assert "contradicts itself" in refusal(tmp_path / "a.wav")


def test_metadata_in_another_alphabet_is_no_fault(tmp_path: Path) -> None:
    notes = chunk(b"LIST", b"INFO" + chunk(b"INAM", "Grüße".encode("latin-1")))
    (tmp_path / "a.wav").write_bytes(riff(notes, form(), chunk(b"data", SOUND)))
    assert len(read_audio(tmp_path / "a.wav")) == SAMPLE_RATE_HZ


def test_a_header_without_an_end_costs_no_time(tmp_path: Path) -> None:
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(riff(form()))
        file.truncate(200_000_000)  # of chunks without name and size
    assert "without an end" in refusal(tmp_path / "a.wav")


def test_huge_metadata_is_not_held(tmp_path: Path) -> None:
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(
            riff(
                form(),
                b"LIST"
                + struct.pack("<I", 500_000_000)
                + b"INFOICMT"
                + struct.pack("<I", 499_999_000),
            )
        )
        file.truncate(600_000_000)
    assert "bytes of metadata" in refusal(tmp_path / "a.wav")


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A valid file of each kind, as small as can be."""
    folder, files = tmp_path_factory.mktemp("small"), []
    for container, subtype in (
        *(("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM")),
        *(
            (container, "PCM_16")
            for container in ("WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")
        ),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        path = folder / "small"
        soundfile.write(
            path,
            np.stack([noise(0.2), noise(0.2, seed=1)], axis=1),
            8_000,
            format=container,
            subtype=subtype,
        )
        files.append(path.read_bytes())
    return files


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_header_says_a_file_is_read_or_refused(
    tmp_path: Path, small_files: list[bytes], data: st.DataObject
) -> None:
    """Either samples or one AttuneError, in little time and memory."""
    content = bytearray(data.draw(st.sampled_from(small_files)))
    extremes = st.sampled_from(
        [
            b"\0\0\0\0",
            b"\xff\xff\xff\xff",
            b"\xff\xff\xff\x7f",
            b"\x7f\xff\xff\xff",
            b"\1\0\0\0",
            b"\0\0\0\1",
        ]
    )
    changes = st.tuples(st.integers(0, 200), st.one_of(extremes, st.binary(min_size=1, max_size=4)))
    for position, value in data.draw(st.lists(changes, max_size=6)):
        content[position : position + len(value)] = value
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path / f"a.{data.draw(st.sampled_from(['wav', 'mp3', 'g722', 'aac', 'amr']))}"
    path.write_bytes(content[:length])
    before_kib, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with suppress(AttuneError):  # and nothing else
        samples = read_audio(path, 29.5)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1.0
        assert len(samples) <= 29.5 * SAMPLE_RATE_HZ
    assert time.process_time() - began < 5.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 300_000
