"""A microphone that is opened again whatever happens to the device or the sound server. Knows no
speech.

Only one thread, the keeper, calls PortAudio. If a call hangs there, the listener still gets silence
and `close` still returns.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import soxr

from engines.audio.vad import CHUNK_SAMPLES
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32

from .. import portaudio
from .source import CHUNK_SECONDS
from .status import SourceStatus

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 2.0
"""Most seconds that the sound server may keep a caller of this class waiting."""
_POLL_SECONDS = 0.1
_BLOCK_CHUNKS = 2
"""Number of chunks per callback of PortAudio. Every callback costs the same: one chunk at a time
takes a quarter more processor time while nobody talks, four take a tenth less, and each chunk adds
16 ms to the mean wait for what was said last."""
_BLOCK_SECONDS = _BLOCK_CHUNKS * CHUNK_SECONDS


@dataclass(frozen=True)
class MicrophoneLimits:
    """When a microphone counts as lost, and how soon it is opened again."""

    stall_seconds: float = 1.0
    """Seconds without a block after which the stream counts as dead: PortAudio reports neither a
    suspended source nor a hung server."""
    zeros_seconds: float = 10.0
    """Seconds of exact zeros after which the stream counts as dead: the server may have moved it to
    another source. A muted microphone gives zeros too, so the time doubles, up to
    `longest_zeros_seconds`, each time that opening again did not help."""
    longest_zeros_seconds: float = 300.0
    first_retry_seconds: float = 0.25
    longest_retry_seconds: float = 10.0
    queue_seconds: float = 5.0
    """Seconds of sound that are kept for a late listener; older chunks are dropped."""


class _Opening:
    """One opening of the device, as its callbacks see it."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.wanted = True
        self.heard = False
        self.last_block = self.last_sound = time.monotonic()


class _Format:
    """The format of the blocks of one opening; makes samples of them.

    The listener's thread makes the samples: a callback that made them would cost twice the
    processor time, running cold at every block.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.block_frames = round(_BLOCK_SECONDS * rate_hz)
        self.frame_bytes = channels * np.dtype(np.float32).itemsize
        self._channels = channels
        self._resampler = None
        if rate_hz != SAMPLE_RATE_HZ:
            self._resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")

    def samples(self, block: bytes) -> Float32:
        """Return the samples of a block, [n] mono at SAMPLE_RATE_HZ. Blocks must be given in their
        order."""
        # If there are several channels, the first is as good as their mean.
        first = np.ascontiguousarray(
            np.frombuffer(block, np.float32).reshape(-1, self._channels)[:, 0]
        )
        return first if self._resampler is None else self._resampler.resample_chunk(first)


class Microphone:
    """An AudioSource that listens to a microphone. While the device is away it gives silence, so
    that the stream keeps its time and a segment of speech gets its end."""

    def __init__(
        self,
        device: str = "",
        limits: MicrophoneLimits | None = None,
        load: Callable[[], Any] = portaudio.load,
    ) -> None:
        """Listen to the input device whose name is, or alone contains, `device`; left empty, to the
        system's default.

        Raises AttuneError if PortAudio is not installed. An absent device is waited for.
        """
        self._device = device
        self._limits = limits or MicrophoneLimits()
        self._load = load
        self._blocks: deque[tuple[_Format, bytes]] = deque()
        self._most_blocks = max(1, round(self._limits.queue_seconds / _BLOCK_SECONDS))
        self._wanted_blocks = 1
        self._samples = np.zeros(0, np.float32)
        """Samples that were made from blocks and are not read yet."""
        self._arrived = threading.Condition()
        self._status = SourceStatus(
            device or "default", False, time.time(), problem="not opened yet"
        )
        self._dropped_chunks = 0
        self._connections = 0
        self._zeros_seconds = self._limits.zeros_seconds
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._loaded = threading.Event()
        self._load_error: OSError | None = None
        self._keeper = threading.Thread(target=self._keep, name="microphone", daemon=True)
        self._keeper.start()
        # Wait for the import only this long, because a hung sound server hangs it.
        self._loaded.wait(_PATIENCE_SECONDS)
        if self._load_error:
            raise AttuneError(
                "no microphone: the PortAudio library is not installed; run `sudo apt install"
                " libportaudio2`"
            ) from self._load_error

    def read(self, at_most: int) -> Float32 | None:
        """Return the next chunks, or silence while the device is away; see `AudioSource`."""
        self._wanted.set()
        while not self._closed.is_set():
            count = min(at_most, len(self._samples) // CHUNK_SAMPLES)
            if count:
                taken, self._samples = np.split(self._samples, [count * CHUNK_SAMPLES])
                return taken.reshape(count, CHUNK_SAMPLES).copy()
            self._samples = np.concatenate([self._samples, *self._blocks_or_silence(at_most)])
        return None

    def status(self) -> SourceStatus:
        """Return the state of the device; see `AudioSource`."""
        return replace(
            self._status,
            dropped_chunks=self._dropped_chunks,
            reconnects=max(0, self._connections - 1),
        )

    def close(self) -> None:
        """End the stream; see `AudioSource`. Returns within seconds even if the sound server
        hangs."""
        self._closed.set()
        self._wanted.set()
        with self._arrived:
            self._arrived.notify()
        self._keeper.join(_PATIENCE_SECONDS)
        if self._keeper.is_alive() and self._loaded.is_set():
            logger.warning(
                "the sound server does not release the microphone %s; it stays open",
                self._status.device,
            )
            portaudio.leave_behind(self._sounddevice)

    def _blocks_or_silence(self, chunks: int) -> list[Float32]:
        """Wait for blocks that make `chunks` chunks, and return their samples. While the device is
        away, return one chunk of silence."""
        connected = self._status.connected
        with self._arrived:
            self._wanted_blocks = min(math.ceil(chunks / _BLOCK_CHUNKS), self._most_blocks)
            self._arrived.wait_for(
                partial(self._need_not_wait, connected), None if connected else CHUNK_SECONDS
            )
            taken = [
                self._blocks.popleft() for _ in range(min(self._wanted_blocks, len(self._blocks)))
            ]
        if not taken and not self._status.connected and not self._closed.is_set():
            return [np.zeros(CHUNK_SAMPLES, np.float32)]
        return [form.samples(block) for form, block in taken]

    def _need_not_wait(self, connected: bool) -> bool:
        return self._are_enough() or self._closed.is_set() or self._status.connected != connected

    def _are_enough(self) -> bool:
        return len(self._blocks) >= self._wanted_blocks

    # What follows runs in the keeper's thread; the functions made by `_callback` run in
    # PortAudio's.

    def _keep(self) -> None:
        try:
            self._sounddevice = self._load()
        except OSError as error:
            self._load_error = error
            return
        finally:
            self._loaded.set()
        self._wanted.wait()
        retry_seconds = self._limits.first_retry_seconds
        while not self._closed.is_set():
            opening = _Opening()
            problem = self._open_and_wait(opening)
            if opening.heard:
                retry_seconds = self._limits.first_retry_seconds
            if self._closed.wait(retry_seconds):
                return
            retry_seconds = min(2 * retry_seconds, self._limits.longest_retry_seconds)
            logger.debug("opening the microphone again after: %s", problem)
            portaudio.list_devices_anew(self._sounddevice)

    def _open_and_wait(self, opening: _Opening) -> str:
        """Open the device, wait until it is lost or the microphone is closed, and close it. Returns
        what the problem was."""
        try:
            stream, name = self._open(opening)
        # ValueError: no device has that name, or several have.
        except (self._sounddevice.PortAudioError, ValueError) as error:
            problem = f"cannot be opened: {' '.join(str(error).split())}"
            self._note_lost(problem)
            return problem
        problem = self._wait_until_lost(opening, name)
        opening.wanted = False  # a server that hung would hand over a backlog once it recovers
        if not self._closed.is_set():
            self._note_lost(problem)
        try:
            stream.abort()
        except self._sounddevice.PortAudioError as error:
            logger.debug("stopping the lost stream: %s", error)
        stream.close()
        return problem

    def _open(self, opening: _Opening) -> tuple[Any, str]:
        """Open the device in Attune's format, or else in the device's own. Returns the running
        stream and the name of the device."""
        device = self._sounddevice.query_devices(self._device or None, "input")
        device_rate_hz = round(device["default_samplerate"])

        def opened(rate_hz: int, channels: int) -> Any:
            form = _Format(rate_hz, channels)
            return self._sounddevice.RawInputStream(
                device=device["index"],
                samplerate=rate_hz,
                channels=channels,
                dtype="float32",
                blocksize=form.block_frames,
                callback=self._callback(opening, form),
                finished_callback=opening.finished.set,
            )

        formats = [
            (SAMPLE_RATE_HZ, 1),
            (device_rate_hz, 1),
            (device_rate_hz, device["max_input_channels"]),
        ]
        stream, (rate_hz, channels) = portaudio.open_stream(self._sounddevice, formats, opened)
        try:
            stream.start()
        except self._sounddevice.PortAudioError:
            stream.close()
            raise
        logger.debug(
            "opened the microphone %s: %d Hz, %d channels", device["name"], rate_hz, channels
        )
        return stream, str(device["name"])

    def _callback(self, opening: _Opening, form: _Format) -> Callable[..., None]:
        silence = bytes(form.block_frames * form.frame_bytes)

        def take(data: Any, _frames: int, _time: object, _flags: object) -> None:
            if not opening.wanted:
                return
            block = bytes(data)  # PortAudio reuses its buffer
            opening.last_block = time.monotonic()
            opening.heard = True
            if block != silence:
                opening.last_sound = opening.last_block
                self._zeros_seconds = self._limits.zeros_seconds
            self._put(form, block)

        return take

    def _put(self, form: _Format, block: bytes) -> None:
        with self._arrived:
            dropped = len(self._blocks) == self._most_blocks
            if dropped:
                self._blocks.popleft()
            self._blocks.append((form, block))
            if self._are_enough():
                self._arrived.notify()
        self._dropped_chunks += dropped * _BLOCK_CHUNKS
        if dropped and self._dropped_chunks == _BLOCK_CHUNKS:
            logger.warning("sound from the microphone is not read in time; the oldest is dropped")

    def _wait_until_lost(self, opening: _Opening, name: str) -> str:
        while not self._closed.is_set():
            if opening.finished.wait(_POLL_SECONDS):
                return "was removed, or the sound server ended"
            now = time.monotonic()
            if now - opening.last_block > self._limits.stall_seconds:
                return f"gave no sound for {self._limits.stall_seconds:.1f} s"
            if now - opening.last_sound > self._zeros_seconds:
                problem = f"gave exact silence for {self._zeros_seconds:.1f} s"
                self._zeros_seconds = min(
                    2 * self._zeros_seconds, self._limits.longest_zeros_seconds
                )
                return problem
            # A stream that is open does not always give sound.
            if opening.heard and not self._status.connected:
                self._connections += 1
                self._status = SourceStatus(name, True, time.time())
                logger.info("listening to the microphone %s", name)
        return "closed"

    def _note_lost(self, problem: str) -> None:
        lost = self._status.connected
        if lost or problem != self._status.problem:  # once, not at every retry
            logger.warning(
                "the microphone %s %s; trying again until it is back", self._status.device, problem
            )
        since_unix_seconds = time.time() if lost else self._status.since_unix_seconds
        self._status = SourceStatus(self._status.device, False, since_unix_seconds, problem=problem)
        with self._arrived:
            self._arrived.notify()
