"""Takes sound from a source, chunk by chunk."""

from collections.abc import Callable, Iterator

from daemon.listening.source import AudioSource
from engines.types import Float32


def chunks_of(source: AudioSource, wanted: Callable[[], int] = lambda: 1) -> Iterator[Float32]:
    """Every chunk, [CHUNK_SAMPLES], until the stream ends; as many at a time as `wanted` says."""
    while (taken := source.read(wanted())) is not None:
        yield from taken
