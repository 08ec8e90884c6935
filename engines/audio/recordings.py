"""Reads recordings as samples, and writes them. Knows files, not what was said in them.

Every fault of a file is one AttuneError. Decoding is streamed: nothing longer than the limit is
ever held in memory.
"""

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from av.container import InputContainer

from ..encryption.files import readable, write_file
from ..encryption.folders import ring_of
from ..errors import AttuneError
from ..open_file import OpenFile, open_file
from ..types import SAMPLE_RATE_HZ, Float32
from .headers import Header, read_header

MAX_FILE_SECONDS = 300.0
MAX_STREAM_SECONDS = 12 * 3600.0
"""The longest recording that is played: it is decoded block by block, so it costs time, not
memory."""
SILENT_PEAK = 1e-4
"""The peak below which a recording has no speech: -80 dB of full scale."""

_LOUDEST_PEAK = 8.0
"""The largest sample: floating-point files may exceed full scale a little; beyond this they hold
another unit, such as 16-bit integers."""

_RATES_HZ = range(4_000, 384_001)
_FORMATS = "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,amr,mov,matroska,g722"
"""The container formats of recordings. Without a list, FFmpeg also takes text files for films, and
playlists that name other files."""

_FORMATS_STATING_DURATION = {"aiff", "au", "flac", "mov,mp4,m4a,3gp,3g2,mj2"}
_TRUNCATION_TOLERANCE_SECONDS = 0.05
_HEAD_BYTES = 4096
_PLACEHOLDER_TIMES = 100
"""The multiple of the longest length taken from which on a header's promise means that its writer
did not know the length."""
_CANCELLED = 0.1
"""The share of the channels' power below which their mean shows that they cancel out."""


def read_audio(source: Path | OpenFile, max_seconds: float = MAX_FILE_SECONDS) -> Float32:
    """Decode a recording of any common format, rate and number of channels to [N] samples, -1 to 1.

    N is at most `max_seconds` times SAMPLE_RATE_HZ. An `OpenFile` stays open. Raises AttuneError
    where the file is missing, unreadable, no regular file, empty, truncated, silent, not audio,
    holds NaN or infinity, or is longer than `max_seconds`.
    """
    samples = np.concatenate([np.zeros(0, np.float32), *stream_audio(source, max_seconds)])
    samples = samples[: int(max_seconds * SAMPLE_RATE_HZ)]  # a resampler may round up by one
    name = _name_of(source)
    if len(samples) == 0:
        raise AttuneError(f"{name} holds no samples; give a recording that has sound in it")
    if np.abs(samples).max() < SILENT_PEAK:
        raise AttuneError(
            f"{name} is silent from start to end; check the microphone it was recorded with"
        )
    return samples


def stream_audio(source: Path | OpenFile, max_seconds: float) -> Iterator[Float32]:
    """Decode a recording block by block to [n] samples, for files too long to hold in memory.
    Raises AttuneError as `read_audio` does, except for silence."""
    name = _name_of(source)
    with _open(source, max_seconds) as (header, container):
        stream = container.streams.audio[0]
        rate_hz = stream.codec_context.sample_rate
        # Interleaved: PyAV reads planes that are not there where channels are many.
        to_float = av.AudioResampler(format="flt")
        to_rate = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1)
        mix = _Mix()
        decoded_samples = 0
        first_coding: tuple[int, int, str] | None = None
        for frame in container.decode(stream):
            coding = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            first_coding = first_coding or coding
            if coding != first_coding:
                raise AttuneError(
                    f"{name} changes its rate or channels midway; save it again as one WAV or FLAC"
                    " file"
                )
            for converted in to_float.resample(frame):
                channels = (
                    converted.to_ndarray()
                    .reshape(-1, frame.layout.nb_channels)
                    .astype(np.float32, copy=False)
                )
                _check_samples(name, channels)
                decoded_samples += len(channels)
                if decoded_samples > max_seconds * rate_hz:
                    raise _too_long(name, max_seconds)
                yield np.clip(to_rate.resample_chunk(mix.mono(channels)), -1.0, 1.0)
        missing_seconds = _stated_seconds(container, header) - decoded_samples / rate_hz
        if _TRUNCATION_TOLERANCE_SECONDS < missing_seconds < _placeholder_seconds(max_seconds):
            raise _truncated(name, f"the last {missing_seconds:.1f} s are missing")
        yield np.clip(to_rate.resample_chunk(np.zeros(0, np.float32), last=True), -1.0, 1.0)


def check_audio(source: Path | OpenFile, max_seconds: float = MAX_FILE_SECONDS) -> None:
    """Raise the AttuneError that reading `source` would start with, without decoding anything."""
    with _open(source, max_seconds):
        pass


def write_flac(path: Path, samples: Float32) -> None:
    """Write [N] samples as the 16-bit FLAC file `path`, whole or not at all.

    Raises AttuneError where it cannot be written; the old file then stays as it was.
    """
    integers = np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)
    encoded = io.BytesIO()  # libsndfile does not pass on the error of a full disk, plain writes do
    soundfile.write(encoded, integers, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    try:
        write_file(path, encoded.getvalue())
    except OSError as error:
        raise AttuneError(
            f"{path} cannot be written ({error.strerror}); check the folder and the space on its"
            " disk"
        ) from error


class _Mix:
    """Mixes several channels into one: their mean; or, from the first block in which they cancel
    out, the loudest of them. The two sides of a line cancel out where one is inverted."""

    def __init__(self) -> None:
        self._chosen: int | None = None

    def mono(self, channels: Float32) -> Float32:
        """Mix [n, C] samples to [n]."""
        if self._chosen is None:
            mean: Float32 = channels.mean(axis=1, dtype=np.float32)
            powers = np.square(channels, dtype=np.float64).mean(axis=0)
            audible = powers.max(initial=0.0) > SILENT_PEAK**2
            if (
                not audible
                or np.square(mean, dtype=np.float64).mean() >= _CANCELLED * powers.mean()
            ):
                return mean
            self._chosen = int(powers.argmax())
        return np.ascontiguousarray(channels[:, self._chosen])


class _Stream:
    """A recording as FFmpeg reads it, through PyAV: with a position, and with corrections of its
    header."""

    def __init__(self, recording: OpenFile, patches: dict[int, bytes]) -> None:
        self.name = Path(recording.name).name  # FFmpeg takes hints from the suffix
        self._recording = recording
        self._patches = patches
        self._position = 0

    def read(self, length: int) -> bytes:
        start = self._position
        found = bytearray(self._recording.read_at(start, length))
        for place, patch in self._patches.items():
            for index, byte in enumerate(patch, place - start):
                if 0 <= index < len(found):
                    found[index] = byte
        self._position += len(found)
        return bytes(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: self._recording.size_bytes,
        }[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position


@contextmanager
def _open(source: Path | OpenFile, max_seconds: float) -> Iterator[tuple[Header, InputContainer]]:
    """Open the file in FFmpeg, with at least one audio stream; errors of FFmpeg and of the system
    become AttuneErrors."""
    name = _name_of(source)
    try:
        with _opened_file(source) if isinstance(source, Path) else nullcontext(source) as recording:
            header = _checked_header(recording, max_seconds)
            with _opened(recording, header) as container:
                _check_stream(name, container, max_seconds)
                yield header, container
    except av.FFmpegError as error:
        raise AttuneError(
            f"{name} is truncated or not audio ({error.strerror}); give a whole recording"
        ) from error
    except OSError as error:
        raise AttuneError(
            f"{name} cannot be read ({error.strerror}); check its permissions"
        ) from error


@contextmanager
def _opened_file(path: Path) -> Iterator[OpenFile]:
    if ring_of(path) is None:
        with open_file(path) as plain:
            yield plain
        return
    if not path.is_file():
        raise AttuneError(f"{path} does not exist; give the path of a file")
    with readable(path) as decrypted, open_file(decrypted) as recording:
        recording.name = str(path)
        yield recording


def _checked_header(recording: OpenFile, max_seconds: float) -> Header:
    head = recording.read_at(0, _HEAD_BYTES)
    if not head:
        raise AttuneError(f"{recording.name} is empty; give a recording")
    if _is_text(head):
        raise AttuneError(f"{recording.name} is text, not audio; give a recording")
    header = read_header(recording)
    missing_bytes = header.missing_bytes(recording.size_bytes)
    # What was cut off plays without a complaint; its header still says how long it was.
    if missing_bytes and header.seconds < _placeholder_seconds(max_seconds):
        raise _truncated(
            recording.name, f"{missing_bytes} of {header.data_bytes} bytes are missing"
        )
    return header


def _opened(recording: OpenFile, header: Header) -> InputContainer:
    raw = "g722" if recording.name.lower().endswith(".g722") else None
    options = {"format_whitelist": _FORMATS}
    stream = _Stream(recording, header.patches)
    try:
        return av.open(stream, "r", format=raw, options=options, metadata_errors="replace")
    except av.ArgumentError as error:  # FFmpeg knows what it is, and the list does not have it
        raise _not_decoded(recording.name) from error


def _check_stream(name: str, container: InputContainer, max_seconds: float) -> None:
    if not container.streams.audio:
        raise AttuneError(f"{name} has no sound track; give a recording")
    context = container.streams.audio[0].codec_context
    rate_hz = getattr(context, "sample_rate", 0)  # without a decoder there is no context
    if not rate_hz:
        raise _not_decoded(name)
    if rate_hz not in _RATES_HZ:
        raise AttuneError(f"{name} has {rate_hz} samples a second; record at 16000 or more")
    stated_seconds = (container.duration or 0) / av.time_base
    if max_seconds < stated_seconds < _placeholder_seconds(max_seconds):
        raise _too_long(name, max_seconds)


def _stated_seconds(container: InputContainer, header: Header) -> float:
    """The length of the sound by its container; 0 where that is not stated, or estimated."""
    stream = container.streams.audio[0]
    states = header.states_seconds or container.format.name in _FORMATS_STATING_DURATION
    if states and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # A film may go on without sound.
    if container.format.name.startswith("matroska") and len(container.streams) == 1:
        return (container.duration or 0) / av.time_base
    return 0.0


def _placeholder_seconds(max_seconds: float) -> float:
    return min(_PLACEHOLDER_TIMES * max_seconds, MAX_STREAM_SECONDS)


def _check_samples(name: str, samples: Float32) -> None:
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise AttuneError(
            f"{name} holds samples that are not numbers (NaN or infinity); record or convert it"
            " again"
        )
    if peak > _LOUDEST_PEAK:
        raise AttuneError(
            f"{name} holds samples up to {peak:.0f}, far over full scale (1.0); convert it again,"
            " scaled"
        )


def _is_text(head: bytes) -> bool:
    try:
        # Incremental: the head may end inside a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)


def _truncated(name: str, detail: str) -> AttuneError:
    return AttuneError(f"{name} is truncated ({detail}); give the whole recording")


def _too_long(name: str, max_seconds: float) -> AttuneError:
    return AttuneError(f"{name} is longer than {max_seconds:g} s; cut it into shorter recordings")


def _not_decoded(name: str) -> AttuneError:
    return AttuneError(f"{name} is coded in a way that cannot be decoded; save it as WAV or FLAC")


def _name_of(source: Path | OpenFile) -> str:
    return str(source) if isinstance(source, Path) else source.name
