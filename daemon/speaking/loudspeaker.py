"""A loudspeaker that is opened again whatever happens to the device or the sound server. Knows no
voice and no text.

A child plays (`daemon/speaking/player.py`). It is started when there is something to say, and ends
when the device is lost, or nothing is said for a while; the next sound starts another.
"""

import json
import logging
import os
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf
from typing import Any, NoReturn

import numpy as np
import soxr

from engines.errors import AttuneError
from engines.jobs.programs import PLAYER, program
from engines.types import Float32

from ..observers import Observers
from .player import DROP, HEADER, IDLE_SECONDS, PLAY, STAY

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 3.0
"""Most seconds that the sound server may take to open the device, or go without playing anything
that waits."""
_IDLE_SECONDS = IDLE_SECONDS - 5.0
"""Time without a message after which a child is not used any more."""
_PIECE_SECONDS = 0.1
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 10.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class LoudspeakerStatus:
    """The state of the loudspeaker, as far as its last use showed it."""

    device: str
    """The name of the device; `default` as long as no other is known."""
    problem: str = ""
    """Why nothing can be heard; empty while that is not known to be so."""
    openings: int = 0
    """How often the device was opened."""


@dataclass(frozen=True)
class Sounded:
    """A stretch of sound that the device plays."""

    samples: Float32
    """[n] mono samples at `rate_hz`, as they were given to `Loudspeaker.play`."""
    rate_hz: int
    at: float
    """When the first sample sounds by what the device says, in seconds of `time.monotonic`."""


class _Player:
    """One child that plays, from its start to its end."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it. Raises OSError if it cannot be started."""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in a terminal is for the daemon
        )
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        self._sending = threading.Lock()
        self.rate_hz = self.channels = 0
        """The format of the device; 0 as long as it is not open."""
        self.unplayed: deque[tuple[Float32, bool]] = deque()
        """Sound that was sent, and neither played nor dropped: pieces of [n] mono samples, and
        whether observers are told of each."""
        self.heard_at = time.monotonic()
        """When the child last told something."""
        self.used_at = self.heard_at
        """When the child was last told something, or told something."""
        self.ended = self.lost = False
        """Whether it plays no more, and whether that is so because of a fault."""
        self.listener: threading.Thread
        """The thread that takes what the child tells."""

    @property
    def unplayed_seconds(self) -> float:
        return self.unplayed_frames / self.rate_hz if self.rate_hz else 0.0

    @property
    def unplayed_frames(self) -> int:
        return sum(len(piece) for piece, _ in self.unplayed)

    def send(self, kind: bytes, content: bytes = b"") -> None:
        """Send one message. Raises OSError if the child has ended or takes nothing."""
        left = memoryview(HEADER.pack(kind, len(content)) + content)
        writable = select.poll()
        with self._sending:
            assert self.process.stdin is not None
            if self.process.stdin.closed:
                raise BrokenPipeError
            pipe = self.process.stdin.fileno()
            writable.register(pipe, select.POLLOUT)
            self.used_at = time.monotonic()
            while left:
                if not writable.poll(1000 * _PATIENCE_SECONDS):
                    raise TimeoutError("the player takes no sound")
                left = left[os.write(pipe, left) :]

    def close_pipes(self) -> None:
        """Close the pipes of a child that has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._sending:
            self.process.stdin.close()
        self.process.stdout.close()

    def taken(self, frames: int) -> list[tuple[Float32, bool]]:
        """Remove `frames` from the beginning of what is unplayed, and return them."""
        pieces = []
        while frames and self.unplayed:
            piece, is_told = self.unplayed.popleft()
            if len(piece) > frames:
                self.unplayed.appendleft((piece[frames:], is_told))
                piece = piece[:frames]
            pieces.append((piece, is_told))
            frames -= len(piece)
        return pieces

    def drop(self, frames: int) -> None:
        """Remove `frames` from the end of what is unplayed."""
        kept = self.taken(max(0, self.unplayed_frames - frames))
        self.unplayed.clear()
        self.unplayed.extend(kept)


class Loudspeaker:
    """Plays sound on one device. Safe to use from several threads."""

    def __init__(
        self,
        device: str = "",
        volume: float = 1.0,
        command: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Play on the output device whose name is, or alone contains, `device`; left empty, on the
        system's default. `volume` is a factor, 0 to 1. `command` starts another child than the
        usual one."""
        self._command = [*(command or program(PLAYER)), device]
        self.volume = volume
        """A factor, 0 to 1, for what is played from now on."""
        self._clock = clock
        self._status = LoudspeakerStatus(device or "default")
        self._changed = threading.Condition()
        """Guards the child and what is known of it."""
        self._starting = threading.Lock()
        """Held while a child is started, so that there is one at a time."""
        self._player: _Player | None = None
        self._stops = 0
        self._retry_seconds, self._retry_at = _FIRST_RETRY_SECONDS, float("-inf")
        self._closed = False
        self.sounded = Observers[Sounded]()
        """Observers that are told what the device plays, about when it sounds."""

    def status(self) -> LoudspeakerStatus:
        """Return the state of the loudspeaker. May be called from any thread."""
        return self._status

    def wake(self) -> None:
        """Open the device, because sound comes soon: that takes a moment. Raises AttuneError as
        `play` does."""
        player = self._open()
        self._send(player, STAY)

    def play(
        self, samples: Float32, rate_hz: int, ahead_seconds: float = inf, *, is_told: bool = True
    ) -> None:
        """Play [n] mono `samples`, about -1 to 1, after what is playing, or until `stop`. Waits
        until at most `ahead_seconds` of that have yet to sound, and returns before `samples` have.
        The observers of `sounded` are told of it if `is_told`.

        Raises AttuneError if there is no device, or it was lost. For a while after a failure each
        call fails at once.
        """
        stops = self._stops
        player = self._open()
        self._wait(player, ahead_seconds)
        mono = np.clip(self.volume * _at_rate(samples, rate_hz, player.rate_hz), -1.0, 1.0)
        piece_frames = round(_PIECE_SECONDS * player.rate_hz)
        for start in range(0, len(mono), piece_frames):
            piece = mono[start : start + piece_frames]
            with self._changed:
                if self._stops != stops:
                    return
                if not player.unplayed:
                    player.heard_at = self._clock()  # until now it had nothing to tell
                player.unplayed.append((piece, is_told))
            frames = np.repeat((32767 * piece).astype("<i2"), player.channels)
            self._send(player, PLAY, frames.tobytes())

    def stop(self) -> None:
        """Fall silent: what was not played yet is dropped."""
        with self._changed:
            self._stops += 1
            player = self._player
        if player is not None and player.unplayed:
            with suppress(AttuneError):  # a device that is lost is silent, too
                self._send(player, DROP)

    def wait(self) -> None:
        """Wait until everything that was given to `play` has sounded. Raises AttuneError if the
        device was lost since."""
        player = self._player
        if player is not None:
            self._wait(player, 0.0)

    def close(self) -> None:
        """Fall silent, and end the child."""
        with self._changed:
            self._closed = True
            self._stops += 1
            player, self._player = self._player, None
            self._changed.notify_all()
        if player is not None:
            _end(player)
            player.listener.join()

    def _wait(self, player: _Player, left_seconds: float) -> None:
        while True:
            with self._changed:
                if player.lost:
                    raise AttuneError(self._told())
                if player.unplayed_seconds <= left_seconds:
                    return
                self._changed.wait(_POLL_SECONDS)
                hung = self._clock() - player.heard_at > _PATIENCE_SECONDS
            if hung:
                self._give_up(player, "plays nothing")

    def _open(self) -> _Player:
        """The child, with its device open."""
        with self._starting:
            if self._closed:
                raise AttuneError("the loudspeaker is closed")
            player = self._player
            if player is not None and not player.ended:
                if self._clock() - player.used_at < _IDLE_SECONDS:
                    return player
                _end(player)  # it is about to end by itself
            player = self._start()
            with self._changed:
                self._changed.wait_for(lambda: player.rate_hz or player.ended, _PATIENCE_SECONDS)
            if not player.rate_hz and not player.ended:
                self._give_up(player, "cannot be opened: the sound server does not answer")
            if player.ended:
                raise AttuneError(self._told())
            return player

    def _start(self) -> _Player:
        if self._clock() < self._retry_at:
            raise AttuneError(self._told())
        try:
            player = _Player(self._command)
        except OSError as error:
            self._note_lost(None, f"cannot be used: {error}")
            raise AttuneError(self._told()) from error
        with self._changed:
            self._player = player
        player.listener = threading.Thread(
            target=self._listen, args=(player,), name="loudspeaker", daemon=True
        )
        player.listener.start()
        return player

    def _send(self, player: _Player, kind: bytes, content: bytes = b"") -> None:
        try:
            player.send(kind, content)
        except TimeoutError:
            self._give_up(player, "takes no sound")
        except OSError:  # the child has ended; its thread notes why
            with self._changed:
                self._changed.wait_for(lambda: player.ended, _PATIENCE_SECONDS)
            raise AttuneError(self._told()) from None

    def _give_up(self, player: _Player, problem: str) -> NoReturn:
        self._note_lost(player, problem)
        _end(player)
        raise AttuneError(self._told())

    def _listen(self, player: _Player) -> None:
        """Take what the child tells until it ends, in a thread of its own."""
        problem = ""
        assert player.process.stdout is not None
        for line in player.process.stdout:
            told = json.loads(line)
            problem = told.get("problem", problem)
            self._take(player, told)
        if player.process.wait() != 0:
            self._note_lost(player, problem or "cannot be used: the process that plays was ended")
        player.close_pipes()
        with self._changed:
            player.ended = True
            self._changed.notify_all()

    def _take(self, player: _Player, told: dict[str, Any]) -> None:
        sounded: list[Sounded] = []
        with self._changed:
            player.heard_at = player.used_at = self._clock()
            if "opened" in told:
                player.channels, player.rate_hz = told["channels"], told["rate_hz"]
                self._retry_seconds = _FIRST_RETRY_SECONDS
                openings = self._status.openings + 1
                self._status = LoudspeakerStatus(told["opened"], openings=openings)
                logger.info("playing on the loudspeaker %s", told["opened"])
            elif "dropped" in told:
                player.drop(told["dropped"])
            elif "played" in told:
                at = told["at"]
                pieces = player.taken(told["played"])
                for is_told, group in groupby(pieces, lambda piece: piece[1]):
                    samples = np.concatenate([piece for piece, _ in group])
                    if is_told:
                        sounded.append(Sounded(samples, player.rate_hz, at))
                    at += len(samples) / player.rate_hz
            self._changed.notify_all()
        for one in sounded:
            self.sounded.tell(one)

    def _note_lost(self, player: _Player | None, problem: str) -> None:
        with self._changed:
            if player is not None:
                if player.ended:
                    return
                player.ended = player.lost = True
                player.unplayed.clear()
            if self._closed:
                return
            if problem != self._status.problem:  # once, not at every try
                logger.warning("the loudspeaker %s %s", self._status.device, problem)
            self._status = replace(self._status, problem=problem)
            if player is None or not player.rate_hz:  # a device that was open may be back at once
                self._retry_at = self._clock() + self._retry_seconds
                self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY_SECONDS)
            self._changed.notify_all()

    def _told(self) -> str:
        return f"the loudspeaker {self._status.device} {self._status.problem}"


def _at_rate(samples: Float32, given_hz: int, wanted_hz: int) -> Float32:
    resampled: Float32 = (
        samples if given_hz == wanted_hz else soxr.resample(samples, given_hz, wanted_hz)
    )
    return resampled


def _end(player: _Player) -> None:
    """End the child, whatever it hangs in. It ends by itself once its standard input does."""
    player.process.kill()
    player.process.wait()
