"""Hears recordings for clients, with the models that serve the user. Nothing of them is kept: they
may be anybody's."""

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from engines.audio.recordings import read_audio
from engines.audio.segmenter import SegmenterLimits
from engines.audio.stream_cutter import StreamCutter
from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError, TurnAbandoned
from engines.open_file import OpenFile
from engines.types import SAMPLE_RATE_HZ, Float32, Segment, TimedWord, Transcript

from ...clients import Client
from ...serving.lease import ModelLease
from ..errors import BusyError
from ..offered import Running

MOST_SECONDS = 600.0
_AT_ONCE = 256 * CHUNK_SAMPLES
_PAUSE_SECONDS = 0.02
_LEVEL_SECONDS = 0.02
_LOUD = 0.05
"""The least part of the loudness of speech that is no silence."""


@dataclass(frozen=True)
class Read:
    """What was said in one stretch of a recording."""

    text: str
    start_seconds: float
    end_seconds: float
    confidence: float | None
    """Probability, 0 to 1, that the words are right; None where nothing was fitted."""
    sure: bool
    asks_back: bool
    """Whether doubted words lead to a question on this route."""
    mean_log_probability: float
    """Of the tokens, by the recogniser."""
    words: tuple[TimedWord, ...] = ()
    """With times since the beginning of the recording, where they were asked for."""


def decoded(data: bytes, name: str) -> Float32:
    """The samples of a recording of any common format, [N] at SAMPLE_RATE_HZ. Raises AttuneError
    where it is none, or longer than MOST_SECONDS."""
    with os.fdopen(os.memfd_create("upload"), "wb") as file:
        file.write(data)
        file.flush()
        with OpenFile.of_descriptor(file.fileno(), name) as recording:
            return read_audio(recording, MOST_SECONDS)


def stretches(samples: Float32, limits: SegmenterLimits) -> list[Segment]:
    """The stretches of `samples` in which somebody speaks."""
    cutter = StreamCutter(limits)
    padded = np.pad(samples, (0, -len(samples) % CHUNK_SAMPLES))
    pieces = (padded[start : start + _AT_ONCE] for start in range(0, len(padded), _AT_ONCE))
    events = [event for piece in pieces for event in cutter.push(piece)]
    return [one for one in (*events, cutter.segmenter.flush()) if isinstance(one, Segment)]


@contextmanager
def leased(running: Running, client: Client, route: str | None = None) -> Iterator[ModelLease]:
    """The models, once no turn of the user's own waits or is being answered. Raises TurnAbandoned
    if `client` leaves meanwhile, and BusyError if they cannot be had now."""
    while running.answering() and not client.left:
        time.sleep(_PAUSE_SECONDS)
    if client.left:
        raise TurnAbandoned
    with ExitStack() as held:
        try:
            models = held.enter_context(running.lender.lease(route))
        except AttuneError as error:
            raise BusyError(str(error)) from error
        yield models


def read(
    running: Running,
    segments: Sequence[Segment],
    route: str | None,
    expected: Sequence[str],
    client: Client,
    *,
    times_words: bool = False,
) -> Generator[Read, None, None]:
    """What was said in each of `segments`; the phrases `expected` are likelier than other words.
    With `times_words` each word has its times.
    Raises TurnAbandoned once `client` has left, and AttuneError where the models fail."""

    def step() -> None:
        if client.left:
            raise TurnAbandoned

    for segment in segments:
        with leased(running, client, route) as models:
            heard = models.hear(segment.samples, step, expected)
            text = models.words_of(heard).strip()
            asks_back = models.loaded.asks_back
            timed = models.timed(segment.samples, text) if times_words and text else []
        if not text:
            continue
        likelihood = (
            heard.log_likelihood / max(1, heard.tokens) if isinstance(heard, Transcript) else 0.0
        )
        yield Read(
            text=text,
            start_seconds=segment.start_seconds,
            end_seconds=segment.start_seconds + len(segment.samples) / SAMPLE_RATE_HZ,
            confidence=heard.confidence,
            sure=heard.sure,
            asks_back=asks_back,
            mean_log_probability=likelihood,
            words=tuple(_placed(timed, segment)) if timed else (),
        )


def _placed(words: Sequence[TimedWord], segment: Segment) -> Iterator[TimedWord]:
    """`words` with times since the beginning of the recording, without the silence around them: a
    decoder's attention gives each pause to a word."""
    levels = _levels(segment.samples)
    loud = levels > _LOUD * np.quantile(levels, 0.95)
    for word in words:
        first, last = (
            round(seconds / _LEVEL_SECONDS) for seconds in (word.start_seconds, word.end_seconds)
        )
        within = np.flatnonzero(loud[first:last])
        if len(within):
            first, last = first + int(within[0]), first + int(within[-1]) + 1
        start, end = (segment.start_seconds + place * _LEVEL_SECONDS for place in (first, last))
        yield TimedWord(word.text, start, end)


def _levels(samples: Float32) -> Float32:
    """The loudness of each _LEVEL_SECONDS of [N] samples."""
    size = round(_LEVEL_SECONDS * SAMPLE_RATE_HZ)
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.sqrt(np.mean(whole**2, axis=1)), np.float32)
