"""Traces of turns for OpenTelemetry, where an endpoint is configured: when each part of the work on
a turn began and ended, and nothing of what was said."""

import logging
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TypeVar

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, Status, StatusCode, set_span_in_context
from opentelemetry.trace.span import NonRecordingSpan

from ..events.bus import Events
from ..events.speaking import ReplySaid
from ..events.turns import SpeechEnded, TurnAnswered, TurnFailed

_SEND_SECONDS = 1.0
"""Time that the endpoint has to take what is sent to it."""
_TOGETHER_MS = 1000
"""Time in which spans are gathered, so as to be sent together."""
_MOST_TURNS = 100
Kind = TypeVar("Kind")


@contextmanager
def sending_traces(endpoint: str, events: Events) -> Iterator[None]:
    """Send a trace of each turn to `endpoint`, the address of a collector that takes OTLP by HTTP,
    as long as the context lasts. What it does not take is lost, and the log says so."""
    session = requests.Session()
    session.trust_env = False  # a proxy of the surroundings is not where the user wants them sent
    exporter = OTLPSpanExporter(
        f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS, session=session
    )
    with session, tracing(exporter, events):
        logging.getLogger(__name__).info("sending traces to %s", endpoint)
        yield


@contextmanager
def tracing(exporter: SpanExporter, events: Events) -> Iterator[None]:
    """Give a trace of each turn to `exporter` as long as the context lasts."""
    resource = Resource({"service.name": "attune", "service.version": version("attune")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_TOGETHER_MS))
    traces = _Traces(provider)
    with ExitStack() as stack:
        stack.callback(provider.shutdown)  # which sends what is left
        stack.callback(events.subscribe(SpeechEnded, traces.note_end))
        stack.callback(events.subscribe(TurnAnswered, traces.note_answer))
        stack.callback(events.subscribe(TurnFailed, traces.note_failure))
        stack.callback(events.subscribe(ReplySaid, traces.note_sound))
        yield


class _Traces:
    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("attune")
        self._silences: OrderedDict[int, float] = OrderedDict()
        """The silence that ended each of the last turns, in seconds."""
        self._turns: OrderedDict[int, tuple[SpanContext, float]] = OrderedDict()
        """Of the last turns: the span, and when speech had ended, in seconds of `time.time`."""

    def note_end(self, event: SpeechEnded) -> None:
        answered = self._turns.get(event.turn)
        if answered is not None:  # it was begun early, and its answer was ready
            turn, ended_at = answered
            self._add("endpoint", turn, ended_at - event.silence_seconds, ended_at)
            return
        self._silences[event.turn] = event.silence_seconds
        _keep_last(self._silences)

    def note_answer(self, event: TurnAnswered) -> None:
        ended_at = time.time() - event.reply_ms / 1000
        parts = [
            (one.name, ended_at + one.began_ms / 1000, ended_at + one.ended_ms / 1000)
            for one in event.spans
        ]
        silence_seconds = self._silences.pop(event.turn, None)
        if silence_seconds is not None:
            parts.append(("endpoint", ended_at - silence_seconds, ended_at))
        if event.first_token_ms is not None:
            parts.append(("first_token", ended_at, ended_at + event.first_token_ms / 1000))
        turn = self._tracer.start_span(
            "turn",
            start_time=_nanoseconds(min([ended_at, *(began for _, began, _ in parts)])),
            attributes={
                "attune.route": event.route,
                "attune.source": event.source,
                "attune.mode": event.mode,
                "attune.generation": -1 if event.generation is None else event.generation,
                "attune.ability": event.ability or "",
                "attune.sure": event.sure,
                "attune.asked_back": event.asked_back,
                "attune.interrupted": event.interrupted,
            },
        )
        for name, began, ended in parts:
            self._add(name, turn.get_span_context(), began, ended)
        turn.end(_nanoseconds(ended_at + event.reply_ms / 1000))
        self._turns[event.turn] = turn.get_span_context(), ended_at
        _keep_last(self._turns)

    def note_failure(self, event: TurnFailed) -> None:
        self._silences.pop(event.turn, None)
        turn = self._tracer.start_span("turn", attributes={"attune.source": event.source})
        turn.set_status(Status(StatusCode.ERROR))  # the problem may name what was said
        turn.end()

    def note_sound(self, event: ReplySaid) -> None:
        """Add the time until a reply sounded to the trace of its turn, which has ended by now."""
        found = self._turns.pop(event.turn, None)
        if found is None or event.first_sound_ms is None:
            return
        turn, ended_at = found
        self._add("first_sound", turn, ended_at, ended_at + event.first_sound_ms / 1000)

    def _add(self, name: str, turn: SpanContext, began: float, ended: float) -> None:
        within = set_span_in_context(NonRecordingSpan(turn))
        part = self._tracer.start_span(name, within, start_time=_nanoseconds(began))
        part.end(_nanoseconds(ended))


def _keep_last(found: "OrderedDict[int, Kind]") -> None:
    while len(found) > _MOST_TURNS:
        found.popitem(last=False)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
