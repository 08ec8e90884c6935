"""Writes speech in the formats that clients ask for, piece by piece while it is spoken."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
import soxr

from engines.types import Float32

from ...speaking.network_voice import as_pcm

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
RATE_HZ = 24000
"""The sample rate of what is sent, but for Opus, which has 48 kHz alone."""


@dataclass(frozen=True)
class _Kind:
    container: str
    codec: str
    rate_hz: int
    mime: str
    options: tuple[tuple[str, str], ...] = ()


_KINDS: dict[str, _Kind] = {
    "mp3": _Kind("mp3", "libmp3lame", RATE_HZ, "audio/mpeg", (("write_xing", "0"),)),
    # Pages of 0.1 s: those of a second would keep a listener waiting.
    "opus": _Kind("ogg", "libopus", 48000, "audio/ogg", (("page_duration", "100000"),)),
    "aac": _Kind("adts", "aac", RATE_HZ, "audio/aac"),
    "flac": _Kind("flac", "flac", RATE_HZ, "audio/flac"),
    "wav": _Kind("wav", "pcm_s16le", RATE_HZ, "audio/wav"),
}


def mime_type(form: Format) -> str:
    """The media type of a format; `pcm` is 16 bits, little-endian, one channel at RATE_HZ."""
    return "audio/pcm" if form == "pcm" else _KINDS[form].mime


def encoded(clauses: Iterator[tuple[int, Float32]], form: Format) -> Iterator[bytes]:
    """Clauses of speech, each as its sample rate and [n] samples, in one format."""
    clauses = ((rate_hz, _at_rate(samples, rate_hz)) for rate_hz, samples in clauses)
    if form == "pcm":
        for _, samples in clauses:
            yield as_pcm(samples)
        return
    kind, sink = _KINDS[form], _Sink()
    with av.open(sink, "w", format=kind.container, options=dict(kind.options)) as container:
        stream: Any = container.add_stream(kind.codec, rate=kind.rate_hz)
        stream.layout = "mono"
        resampler = av.AudioResampler(stream.format.name, "mono", kind.rate_hz)

        def write(frame: Any) -> None:
            for ready in resampler.resample(frame):
                container.mux(stream.encode(ready))

        for _, samples in clauses:
            if not len(samples):
                continue
            pcm = np.frombuffer(as_pcm(samples), "<i2")
            frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
            frame.sample_rate = RATE_HZ
            write(frame)
            yield sink.taken()
        write(None)
        container.mux(stream.encode(None))
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What was written and not sent yet."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        written, self._written = b"".join(self._written), []
        return written


def _at_rate(samples: Float32, rate_hz: int) -> Float32:
    if rate_hz == RATE_HZ or not len(samples):
        return samples
    found: Float32 = soxr.resample(samples, rate_hz, RATE_HZ)
    return found
