"""The process that plays: `python -m daemon.speaking.player DEVICE`. It takes sound from its
standard input, and tells on its standard output what was played when, one JSON object per line.

It ends when it has had nothing to play for a while, or its input ends.

It is a process of its own for three reasons. PortAudio lists the devices once in a process, so a
loudspeaker that was plugged in later is found by a new one. A sound server that hangs takes this
process with it and not the daemon. And the daemon's work, which holds Python's lock for
milliseconds at a time, leaves no gaps in the sound.
"""

import json
import os
import struct
import sys
import threading
import time
from array import array
from collections import deque
from typing import Any, BinaryIO

from .. import portaudio

HEADER = struct.Struct("=cI")
"""Before each message to the player: its kind, and how many bytes follow."""
PLAY, DROP, STAY = b"P", b"D", b"S"
"""Messages to the player: play these frames, int16 in the format that was told; drop what was not
played yet; stay, because sound comes soon."""
_PREFERRED_RATE_HZ = 24000
_BLOCK_SECONDS = 0.02
_LATENCY_SECONDS = 0.06
"""What the device may hold back: with more, it takes longer to fall silent; with less, a busy
machine leaves gaps."""
IDLE_SECONDS = 20.0
"""Time without sound after which this process ends: an open device costs processor time, keeps an
amplifier awake, and may keep other programs out."""
_STALL_SECONDS = 2.5
"""Time without a call from PortAudio after which the device counts as lost."""
_POLL_SECONDS = 0.1
_FADE_SECONDS = 0.01
_SAMPLE_BYTES = 2


class Player:
    """Plays on one device."""

    def __init__(self, device: str, reports: Any = sys.stdout) -> None:
        self._device = device
        self._reports = reports
        self._waiting: deque[bytes] = deque()
        self._done: deque[tuple[int, float]] = deque()
        """What was played and not told yet: frames, and when the first of them sounds by what the
        device says, in seconds of `time.monotonic`."""
        self._lock = threading.Lock()
        self._reporting = threading.Lock()
        self._wanted = threading.Event()
        """Set when there is something to tell, or the input has ended."""
        self._ended = threading.Event()
        self._frame_bytes = _SAMPLE_BYTES
        self._fade_frames = 0
        self._called_at = self._used_at = time.monotonic()
        self._lost = threading.Event()

    def run(self, given: BinaryIO) -> str:
        """Open the device, and play what `given` brings until it ends or brings nothing for a
        while. Returns why the device cannot be used; empty if it could."""
        threading.Thread(target=self._read, args=(given,), daemon=True).start()
        try:
            self._sounddevice = portaudio.load()
        except OSError:
            return "the PortAudio library is not installed; run `sudo apt install libportaudio2`"
        try:
            self._open()
        # ValueError: no device has that name, or several have.
        except (self._sounddevice.PortAudioError, ValueError) as error:
            return f"cannot be opened: {' '.join(str(error).split())}"
        while not self._ended.is_set():
            self._wanted.wait(_POLL_SECONDS)
            self._wanted.clear()
            self._tell_played()
            now = time.monotonic()
            if self._lost.is_set():
                return "was removed, or the sound server ended"
            if now - self._called_at > _STALL_SECONDS:
                return f"took no sound for {_STALL_SECONDS:.1f} s"
            if not self._waiting and now - self._used_at > IDLE_SECONDS:
                break
        return ""

    def _open(self) -> None:
        if not self._device and self._sounddevice.default.device[1] < 0:
            raise ValueError("there is no output device")
        device = self._sounddevice.query_devices(self._device or None, "output")
        device_rate_hz = round(device["default_samplerate"])

        def opened(rate_hz: int, channels: int) -> Any:
            return self._sounddevice.RawOutputStream(
                device=device["index"],
                samplerate=rate_hz,
                channels=channels,
                dtype="int16",
                blocksize=round(_BLOCK_SECONDS * rate_hz),
                latency=_LATENCY_SECONDS,
                callback=self._fill,
                finished_callback=self._lost.set,
            )

        formats = [
            (_PREFERRED_RATE_HZ, 1),
            (device_rate_hz, 1),
            (device_rate_hz, min(2, device["max_output_channels"])),
        ]
        stream, (rate_hz, channels) = portaudio.open_stream(self._sounddevice, formats, opened)
        self._frame_bytes = _SAMPLE_BYTES * channels
        self._fade_frames = round(_FADE_SECONDS * rate_hz)
        self._lost.clear()
        self._called_at = self._used_at = time.monotonic()
        stream.start()
        self._tell(opened=device["name"], rate_hz=rate_hz, channels=channels)

    def _fill(self, out: Any, _frames: int, clock: Any, _flags: object) -> None:
        """Fill PortAudio's buffer, in its thread."""
        self._called_at = time.monotonic()
        sounds_at = self._called_at + (clock.outputBufferDacTime - clock.currentTime)
        with self._lock:
            filled = 0
            while filled < len(out) and self._waiting:
                piece = self._waiting.popleft()
                taken = min(len(out) - filled, len(piece))
                out[filled : filled + taken] = piece[:taken]
                if taken < len(piece):
                    self._waiting.appendleft(piece[taken:])
                filled += taken
        out[filled:] = bytes(len(out) - filled)
        if filled:
            self._used_at = self._called_at
            self._done.append((filled // self._frame_bytes, sounds_at))
            self._wanted.set()

    def _read(self, given: BinaryIO) -> None:
        """Take the messages, in a thread of its own."""
        while header := given.read(HEADER.size):
            if len(header) < HEADER.size:
                break
            kind, size = HEADER.unpack(header)
            content = given.read(size)
            if kind == PLAY and content:
                with self._lock:
                    self._waiting.append(content)
            elif kind == DROP:
                self._drop()
            self._used_at = time.monotonic()
        self._ended.set()
        self._wanted.set()

    def _drop(self) -> None:
        """Drop what was not played yet, but for a few milliseconds that fade out, since an edge
        clicks."""
        with self._lock:
            waiting = b"".join(self._waiting)
            kept = waiting[: self._fade_frames * self._frame_bytes]
            self._waiting.clear()
            if kept:
                self._waiting.append(faded(kept))
        self._tell(dropped=(len(waiting) - len(kept)) // self._frame_bytes)

    def _tell_played(self) -> None:
        while self._done:
            frames, at = self._done.popleft()
            self._tell(played=frames, at=at)

    def _tell(self, **what: object) -> None:
        with self._reporting:
            self._reports.write(json.dumps(what) + "\n")
            self._reports.flush()


def faded(sound: bytes) -> bytes:
    """`sound`, int16, that falls to silence from its first sample to its last."""
    samples = array("h", sound)
    count = len(samples)
    return array("h", (sample * (count - n) // count for n, sample in enumerate(samples))).tobytes()


def main() -> None:
    """Play until the standard input ends; tell `{"problem": …}` if the device cannot be used."""
    # PulseAudio lets this count more than what its clients ask for, and tears sound with less.
    os.environ["PULSE_LATENCY_MSEC"] = str(round(1000 * _LATENCY_SECONDS))
    problem = Player(sys.argv[1] if len(sys.argv) > 1 else "").run(sys.stdin.buffer)
    if problem:
        print(json.dumps({"problem": problem}), flush=True)
    # The reader may still wait for input, and PortAudio's end may hang with the sound server.
    os._exit(1 if problem else 0)


if __name__ == "__main__":
    main()
