"""The parts of a running daemon that clients of HTTP reach."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engines.audio.segmenter import SegmenterLimits
from engines.voices.catalogue import ListedVoice

from ..abilities.abilities import Abilities
from ..clients import Client
from ..config.settings import Settings
from ..control.requests import Request as ControlRequest
from ..events.event import Event
from ..events.learning import AdaptationStatus
from ..serving.lease import ModelLender
from ..speaking.network_voice import NetworkVoice
from ..store.records import Round
from .tokens import Tokens
from .work import Work


class Places:
    """A number of places, for one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def full(self) -> bool:
        """Whether all are taken."""
        return self._taken >= self._most

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a place until the block ends."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


@dataclass(frozen=True)
class Running:
    """What there is once the models are open."""

    lender: ModelLender
    answering: Callable[[], bool]
    """Whether the user's own turn waits, or is being answered: it comes before all others."""
    metrics: Callable[[], str]
    """The metrics in Prometheus' text format."""
    count_request: Callable[[str, int, float], None]
    """Counts a request: the path of its kind, its status, and the seconds that it took."""
    answer: Callable[[ControlRequest, Client], Generator[Event, None, None]]
    """Carries out a request of the control socket."""
    adaptation: Callable[[], AdaptationStatus]
    """What the scheduler of rounds does."""
    last_rounds: Callable[[int], Sequence[Round]]
    """How so many rounds ended, the newest first."""
    hold_training: Callable[[bool], None]
    """Lets training stand still, or go on."""
    abilities: Abilities | None
    """What Attune does by itself; None if the settings want nothing of it."""
    may_call_tools: Callable[[], bool]
    """Whether the language model chooses tools well enough to be given those of clients."""


@dataclass(frozen=True)
class Offered:
    """What there is from the start on."""

    settings: Settings
    limits: SegmenterLimits
    tokens: Tokens
    running: Callable[[], Running | None]
    """What there is once the models are open; None before."""
    voice: NetworkVoice
    voices: Callable[[], Sequence[ListedVoice]]
    hearing: Work[Any]
    """What needs the recogniser or the language model."""
    speaking: Work[Any]
    """What needs a voice."""
    end_seconds: Callable[[], float]
    """The silence that ends a turn of the user's now."""
    threads: Executor
    command_threads: Executor
    commands: Places
    """Who waits for the answer to a request of the control socket's."""
    sessions: Places
    """Who holds a conversation over a WebSocket."""
    started_unix_seconds: int

    def ready_voice(self, name: object) -> str | None:
        """`name`, if a voice is called so and is ready; None, the usual one, otherwise."""
        return next(
            (one.name for one in self.voices() if one.name == name and not one.missing), None
        )
