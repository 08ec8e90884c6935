"""The parts of a running daemon that clients of HTTP reach."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from engines.audio.segmenter import SegmenterLimits
from engines.voices.catalogue import ListedVoice

from ..config.settings import Settings
from ..serving.lease import ModelLender
from ..speaking.network_voice import NetworkVoice
from .tokens import Tokens
from .work import Work


@dataclass(frozen=True)
class Running:
    """What there is once the models are open."""

    lender: ModelLender
    answering: Callable[[], bool]
    """Whether the user's own turn waits, or is being answered: it comes before all others."""
    metrics: Callable[[], str]
    """The metrics in Prometheus' text format."""


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
    threads: Executor
    started_unix_seconds: int
