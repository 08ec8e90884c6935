"""Reads the headers of recordings where FFmpeg does not tell what they promise: how many bytes of
sound there are, and where they lie.

RIFF (WAV, RF64, BW64, RIFX), Sony's W64 and Apple's CAF are chains of chunks, each with a name and
a size; MP3 may have a Xing header. Knows bytes, no sound.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..errors import AttuneError
from ..open_file import OpenFile

_MAX_CHUNKS = 4096
_MAX_METADATA_BYTES = 64 << 20
"""The most bytes of one piece of metadata: FFmpeg holds some kinds in memory, and cover pictures
are smaller."""
_UNKNOWN_32_BIT = 0x7FFFF000
"""The least size that means "unknown" in a header's 32 bits: programs that write into a pipe cannot
know the size."""

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""The bytes that follow the code of a coding in the GUID that means the same."""
_VALID_BITS_OFFSET = 18


@dataclass(frozen=True)
class Header:
    """What the header of a recording promises."""

    data_start: int | None = None
    """The position of the first byte of sound; None where no size is promised."""
    data_bytes: int = 0
    """The number of bytes of sound that are promised."""
    bytes_per_second: float = 0.0
    """The byte rate of the sound; 0 where it varies or is not stated."""
    patches: dict[int, bytes] = field(default_factory=dict)
    """The bytes that a decoder must read in place of those in the file, by position."""
    states_seconds: bool = False
    """Whether FFmpeg finds the length of the sound in this header, where it would estimate it
    otherwise."""

    def missing_bytes(self, size_bytes: int) -> int:
        """The number of promised bytes that are not in a file of `size_bytes`."""
        return (
            0 if self.data_start is None else max(0, self.data_start + self.data_bytes - size_bytes)
        )

    @property
    def seconds(self) -> float:
        """The length of the sound by its header; 0 where that is not stated."""
        return self.data_bytes / self.bytes_per_second if self.bytes_per_second else 0.0


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    size: int
    """The size of its body; negative where it is not known."""
    position: int
    """The position of its body."""
    next_position: int


_Parse = Callable[[int], _Chunk | None]
"""Reads the head of the chunk at a position; returns None at the end."""


@dataclass(frozen=True)
class _Format:
    """The `fmt ` chunk of the RIFF family."""

    tag: int
    channels: int
    rate_hz: int
    bytes_per_second: int
    block_bytes: int
    bits: int
    valid_bits: int

    @property
    def sample_bytes(self) -> int:
        return (self.bits + 7) // 8

    @property
    def is_linear(self) -> bool:
        """Whether each sample takes the same number of bytes."""
        return self.tag in (_PCM, _FLOAT, _A_LAW, _MU_LAW)


def read_header(recording: OpenFile) -> Header:
    """Read the header of `recording`; an empty header for other kinds of files.

    Raises AttuneError where the header contradicts itself, has no end, holds huge metadata, or says
    that there is no sound.
    """
    head = recording.read_at(0, 64)
    if head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _riff(recording, ">" if head[:4] == b"RIFX" else "<")
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _w64(recording)
    if head[:4] == b"caff":
        return _caf(recording)
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return _mp3(recording, head)
    return Header()


# --- the RIFF family


def _riff(recording: OpenFile, order: str) -> Header:
    def parse(position: int) -> _Chunk | None:
        head = recording.read_at(position, 8)
        if len(head) < 8:
            return None
        name, size = struct.unpack(f"{order}4sI", head)
        return _Chunk(name, size, position + 8, position + 8 + size + size % 2)

    sizes_64: dict[bytes, int] = {}
    form: _Format | None = None
    patches: dict[int, bytes] = {}
    for chunk in _chain(recording, 12, parse):
        if chunk.name == b"ds64" and chunk.size >= 16:
            sizes_64[b"data"] = struct.unpack(
                f"{order}Q", recording.read_at(chunk.position + 8, 8).ljust(8, b"\0")
            )[0]
        elif chunk.name == b"fmt ":
            form, patches = _read_format(recording, chunk, order)
        elif chunk.name == b"data":
            unknown = chunk.size == 0 or chunk.size >= _UNKNOWN_32_BIT
            size = (
                sizes_64.get(b"data", 0)
                if chunk.size == 0xFFFFFFFF
                else 0
                if unknown
                else chunk.size
            )
            if chunk.size == 0 and _ends_well(recording, chunk.next_position, parse):
                raise AttuneError(
                    f"{recording.name} holds no samples; give a recording that has sound in it"
                )
            return Header(chunk.position if size else None, size, _rate_of(form), patches)
    return Header(patches=patches)


def _w64(recording: OpenFile) -> Header:
    def parse(position: int) -> _Chunk | None:
        head = recording.read_at(position, 24)
        if len(head) < 24:
            return None
        size = struct.unpack_from("<q", head, 16)[0]  # its head included
        return _Chunk(head[:4], size - 24, position + 24, position + (max(size, 24) + 7) // 8 * 8)

    form: _Format | None = None
    patches: dict[int, bytes] = {}
    for chunk in _chain(recording, 40, parse):
        if chunk.name == b"fmt ":
            form, patches = _read_format(recording, chunk, "<")
        elif chunk.name == b"data":
            size = max(0, chunk.size)
            return Header(chunk.position if size else None, size, _rate_of(form), patches)
    return Header(patches=patches)


def _read_format(
    recording: OpenFile, chunk: _Chunk, order: str
) -> tuple[_Format | None, dict[int, bytes]]:
    body = recording.read_at(chunk.position, min(max(chunk.size, 0), 40))
    if len(body) < 16:
        return None, {}
    tag, channels, rate_hz, bytes_per_second, block_bytes, bits = struct.unpack_from(
        f"{order}HHIIHH", body
    )
    valid_bits = bits
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        valid_bits, _, tag = struct.unpack_from(f"{order}HIH", body, _VALID_BITS_OFFSET)
    form = _Format(tag, channels, rate_hz, bytes_per_second, block_bytes, bits, valid_bits)
    if form.is_linear and bits and block_bytes and block_bytes != channels * form.sample_bytes:
        raise AttuneError(
            f"{recording.name} has a header that contradicts itself ({channels} channels of {bits}"
            f" bits in blocks of {block_bytes} bytes); save it again as WAV or FLAC"
        )
    if form.is_linear and 0 < valid_bits < bits and (valid_bits + 7) // 8 != form.sample_bytes:
        # FFmpeg takes the valid bits for the width of a sample; they are the high ones of a wider
        # container.
        return form, {chunk.position + _VALID_BITS_OFFSET: struct.pack(f"{order}H", bits)}
    return form, {}


def _rate_of(form: _Format | None) -> float:
    if form is None:
        return 0.0
    return (
        float(form.rate_hz * form.block_bytes) if form.is_linear else float(form.bytes_per_second)
    )


# --- others


def _caf(recording: OpenFile) -> Header:
    def parse(position: int) -> _Chunk | None:
        head = recording.read_at(position, 12)
        if len(head) < 12:
            return None
        name, size = struct.unpack(">4sq", head)
        return _Chunk(name, size, position + 12, position + 12 + max(size, 0))

    bytes_per_second = 0.0
    for chunk in _chain(recording, 8, parse):
        if chunk.name == b"desc":
            body = recording.read_at(chunk.position, 24)
            if len(body) == 24:
                rate_hz, _, _, packet_bytes, packet_samples = struct.unpack(">d4sIII", body)
                bytes_per_second = (
                    rate_hz * packet_bytes / packet_samples if packet_samples else 0.0
                )
        elif chunk.name == b"data":
            return Header(
                chunk.position if chunk.size > 0 else None, max(0, chunk.size), bytes_per_second
            )
    return Header()


def _mp3(recording: OpenFile, head: bytes) -> Header:
    """Read the Xing header, which most encoders write into the first frame."""
    start = 0
    if head[:3] == b"ID3":  # its size has 7 bits in each byte
        start = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False)
        )
    frame = recording.read_at(start, 64)
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or len(frame) < place + 8:
        return Header()
    return Header(states_seconds=bool(frame[place + 7] & 1))


def _chain(recording: OpenFile, position: int, parse: _Parse) -> Iterator[_Chunk]:
    """The chunks from `position` on. Raises AttuneError where there are too many, or where one of
    metadata is huge."""
    for _ in range(_MAX_CHUNKS):
        chunk = parse(position)
        if chunk is None:
            return
        if (
            chunk.name != b"data"
            and _MAX_METADATA_BYTES < chunk.size <= recording.size_bytes - chunk.position
        ):
            raise AttuneError(
                f"{recording.name} has {chunk.size} bytes of metadata; save it again as WAV or FLAC"
            )
        yield chunk
        if chunk.next_position <= position:
            return
        position = chunk.next_position
    raise AttuneError(f"{recording.name} has a header without an end; save it again as WAV or FLAC")


def _ends_well(recording: OpenFile, position: int, parse: _Parse) -> bool:
    """Whether only chunks follow up to the end of the file: then a size of 0 is meant."""
    if position >= recording.size_bytes:
        return False
    for chunk in _chain(recording, position, parse):
        if not chunk.name.isalnum() and not chunk.name.strip().isalnum():
            return False
        if chunk.next_position >= recording.size_bytes:
            return chunk.next_position - recording.size_bytes <= 1  # the last may want its padding
    return False
