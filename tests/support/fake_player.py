"""`python -m tests.support.fake_player MODE …`: a player without a device, faster than real time.

Modes: `plays`; `stereo`: plays on two channels at another rate; `absent`: has no device; `hangs`:
never opens it; `stuck`: opens it and plays nothing; `dies`: ends after half a second of sound;
`idle`: ends by itself after the first message.
"""

import json
import os
import sys
import threading
import time
from typing import NoReturn

from daemon.speaking.player import DROP, HEADER, PLAY

SPEED = 20.0


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def end(status: int) -> NoReturn:
    os._exit(status)


def main() -> None:
    """Play what comes, as `mode` says."""
    mode, device = sys.argv[1], sys.argv[-1]
    if mode == "absent":
        tell(problem="cannot be opened: there is no output device")
        end(1)
    if mode == "hangs":
        time.sleep(600)
    rate_hz, channels = (48000, 2) if mode == "stereo" else (24000, 1)
    tell(opened=device or "fake", rate_hz=rate_hz, channels=channels)
    waiting = bytearray()
    lock, told = threading.Lock(), threading.Lock()
    played = 0

    def play() -> None:
        nonlocal played
        block = rate_hz // 50
        while True:
            time.sleep(0.02 / SPEED)
            with lock:
                frames = min(block, len(waiting) // (2 * channels))
                del waiting[: frames * 2 * channels]
                played += frames
            if frames:
                with told:
                    tell(played=frames, at=time.monotonic())
            if mode == "dies" and played > rate_hz // 2:
                tell(problem="was removed, or the sound server ended")
                end(1)

    if mode != "stuck":
        threading.Thread(target=play, daemon=True).start()
    while header := sys.stdin.buffer.read(HEADER.size):
        kind, size = HEADER.unpack(header)
        content = sys.stdin.buffer.read(size)
        with lock:
            if kind == PLAY:
                waiting += content
            elif kind == DROP:
                with told:
                    tell(dropped=len(waiting) // (2 * channels))
                waiting.clear()
        if mode == "idle":
            end(0)
    end(0)


if __name__ == "__main__":
    main()
