"""Recordings to samples and back. Knows files, not what was said in them.

Every fault of a file is one AttuneError. Decoding is streamed: nothing longer than the limit is ever held in memory.
"""

import codecs
import io
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from av.container import InputContainer

from .errors import AttuneError
from .types import SAMPLE_RATE_HZ, Float32

MAX_FILE_SECONDS = 300.0
SILENT_PEAK = 1e-4
"""A recording whose loudest sample is below -80 dB of full scale has no speech in it."""

_LOUDEST_PEAK = 8.0
"""Floating-point files may overshoot full scale a little; beyond this they hold some other unit, such as 16-bit integers."""

_RATES_HZ = range(4_000, 384_001)
_FORMATS = "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,amr,mov,matroska,g722"
"""Containers of recordings. Without a list, FFmpeg also takes text files for films, and playlists that name other files."""

_FORMATS_STATING_DURATION = {"aiff", "flac", "mov,mp4,m4a,3gp,3g2,mj2"}
_TRUNCATION_TOLERANCE_SECONDS = 0.05
_HEAD_BYTES = 4096
_WAV_UNKNOWN_SIZE = 0x7FFFF000
"""Programs that write a WAV into a pipe cannot know its size and put this or more in its header."""


def read_audio(path: Path, max_seconds: float = MAX_FILE_SECONDS) -> Float32:
    """Decode a recording of any common format, rate and number of channels to [N] samples, -1 to 1.

    Raises AttuneError where the file is missing, unreadable, empty, truncated, silent, not audio, holds NaN or infinity, or is
    longer than `max_seconds`.
    """
    samples = np.concatenate([np.zeros(0, np.float32), *stream_audio(path, max_seconds)])
    if len(samples) == 0:
        raise AttuneError(f"{path} holds no samples; give a recording that has sound in it")
    if np.abs(samples).max() < SILENT_PEAK:
        raise AttuneError(f"{path} is silent from start to end; check the microphone it was recorded with")
    return samples


def stream_audio(path: Path, max_seconds: float) -> Iterator[Float32]:
    """Decode a recording block by block to [n] samples, for files too long to hold. Raises AttuneError as `read_audio` does,
    except for silence."""
    with _open(path, max_seconds) as container:
        stream = container.streams.audio[0]
        rate_hz = stream.codec_context.sample_rate
        to_float = av.AudioResampler(format="flt")  # interleaved: PyAV reads planes that are not there where channels are many
        to_rate = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1)
        decoded_samples = 0
        first_coding: tuple[int, int, str] | None = None
        for frame in container.decode(stream):
            coding = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            first_coding = first_coding or coding
            if coding != first_coding:
                raise AttuneError(f"{path} changes its rate or channels midway; save it again as one WAV or FLAC file")
            for converted in to_float.resample(frame):
                mono = converted.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(axis=1, dtype=np.float32)
                decoded_samples += len(mono)
                _check_samples(path, mono)
                if decoded_samples > max_seconds * rate_hz:
                    raise _too_long(path, max_seconds)
                yield np.clip(to_rate.resample_chunk(mono), -1.0, 1.0)
        if container.format.name in _FORMATS_STATING_DURATION and stream.duration and stream.time_base:
            missing_seconds = float(stream.duration * stream.time_base) - decoded_samples / rate_hz
            if missing_seconds > _TRUNCATION_TOLERANCE_SECONDS:
                raise _truncated(path, f"the last {missing_seconds:.1f} s are missing")
        yield np.clip(to_rate.resample_chunk(np.zeros(0, np.float32), last=True), -1.0, 1.0)


def check_audio(path: Path, max_seconds: float = MAX_FILE_SECONDS) -> None:
    """Raise the AttuneError that reading `path` would start with, decoding nothing."""
    with _open(path, max_seconds):
        pass


def write_flac(path: Path, samples: Float32) -> None:
    """Write [N] samples as 16-bit FLAC: beside `path`, flushed to the disk, then renamed over it.

    Raises AttuneError where it cannot be written; no partial file is left.
    """
    integers = np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)
    encoded = io.BytesIO()  # libsndfile does not pass on the error of a full disk, plain writes do
    soundfile.write(encoded, integers, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encoded.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:  # whatever ended the write, an interrupt too, leaves nothing behind
            Path(name).unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)
    except OSError as error:
        raise AttuneError(f"{path} cannot be written ({error.strerror}); check the folder and the space on its disk") from error


@contextmanager
def _open(path: Path, max_seconds: float) -> Iterator[InputContainer]:
    """The file in FFmpeg, with at least one audio stream; FFmpeg's and the system's errors become AttuneErrors."""
    try:
        if not path.is_file():
            problem = "is not a file" if path.exists() else "does not exist"
            raise AttuneError(f"{path} {problem}; give the path of a recording")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head:
            raise AttuneError(f"{path} is empty; give a recording")
        if _is_text(head):
            raise AttuneError(f"{path} is text, not audio; give a recording")
        _check_wav_size(path, head)
        raw = "g722" if path.suffix.lower() == ".g722" else None
        # "file:" keeps a name such as "http:x" from being taken for an address
        with av.open(f"file:{path}", "r", format=raw, options={"format_whitelist": _FORMATS}) as container:
            _check_stream(path, container, max_seconds)
            yield container
    except av.FFmpegError as error:
        raise AttuneError(f"{path} is truncated or not audio ({error.strerror}); give a whole recording") from error
    except OSError as error:
        raise AttuneError(f"{path} cannot be read ({error.strerror}); check its permissions") from error


def _check_stream(path: Path, container: InputContainer, max_seconds: float) -> None:
    if not container.streams.audio:
        raise AttuneError(f"{path} has no sound track; give a recording")
    rate_hz = getattr(container.streams.audio[0].codec_context, "sample_rate", 0)  # without a decoder there is no context
    if not rate_hz:
        raise AttuneError(f"{path} is coded in a way that cannot be decoded; save it as WAV or FLAC")
    if rate_hz not in _RATES_HZ:
        raise AttuneError(f"{path} has {rate_hz} samples a second; record at 16000 or more")
    if container.duration is not None and container.duration / av.time_base > max_seconds:
        raise _too_long(path, max_seconds)


def _check_wav_size(path: Path, head: bytes) -> None:
    """A WAV that was cut off plays without a complaint; its header still says how long it was."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    position = 12
    while position + 8 <= len(head):
        name, size_bytes = struct.unpack_from("<4sI", head, position)
        position += 8
        if name == b"data":
            missing_bytes = size_bytes - (path.stat().st_size - position)
            if missing_bytes > 0 and size_bytes < _WAV_UNKNOWN_SIZE:
                raise _truncated(path, f"{missing_bytes} of {size_bytes} bytes are missing")
            return
        position += size_bytes + size_bytes % 2


def _check_samples(path: Path, samples: Float32) -> None:
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise AttuneError(f"{path} holds samples that are not numbers (NaN or infinity); record or convert it again")
    if peak > _LOUDEST_PEAK:
        raise AttuneError(f"{path} holds samples up to {peak:.0f}, far over full scale (1.0); convert it again, scaled")


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # incremental: the head may end inside a character
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)


def _truncated(path: Path, detail: str) -> AttuneError:
    return AttuneError(f"{path} is truncated ({detail}); give the whole recording")


def _too_long(path: Path, max_seconds: float) -> AttuneError:
    return AttuneError(f"{path} is longer than {max_seconds:.0f} s; cut it into shorter recordings")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
