"""Traces of turns, as a collector of OpenTelemetry gets them."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from daemon.control.traces import tracing
from daemon.events.bus import Events
from daemon.events.event import Event
from daemon.events.speaking import ReplySaid
from daemon.events.turns import SpeechEnded, TurnAnswered, TurnFailed, TurnSpan
from engines.audio.recordings import write_flac
from tests.support.fake_child import eventually
from tests.support.fakes import tone
from tests.support.running_daemon import Start, folder, start

__all__ = ["folder", "start"]


def answered(turn: int, *spans: TurnSpan) -> TurnAnswered:
    return TurnAnswered(
        turn=turn,
        source="microphone",
        id=None,
        utterance=None,
        route="cascade",
        heard="a secret that was said",
        reply="a secret that was answered",
        first_token_ms=300.0,
        reply_ms=500.0,
        generation=None,
        interrupted=False,
        confidence=None,
        sure=True,
        asked_back=False,
        spans=spans,
    )


ENCODE = TurnSpan(name="encode", began_ms=-200.0, ended_ms=-80.0)
PREFILL = TurnSpan(name="prefill", began_ms=10.0, ended_ms=90.0)
SAID = {"source": "microphone", "seconds": 1.0, "stopped": False}


def traced(*events: Event) -> list[ReadableSpan]:
    exporter, bus = InMemorySpanExporter(), Events()
    with tracing(exporter, bus):
        for event in events:
            bus.publish(event)
    return list(exporter.get_finished_spans())


def milliseconds(span: ReadableSpan, turn: ReadableSpan) -> tuple[float, float]:
    """Its beginning and its end, from the beginning of its turn."""
    assert span.start_time is not None
    assert span.end_time is not None
    assert turn.start_time is not None
    began, ended = span.start_time - turn.start_time, span.end_time - turn.start_time
    return round(began / 1e6, 1), round(ended / 1e6, 1)


@pytest.mark.parametrize("early", [False, True])
def test_the_parts_of_a_turn_lie_in_it(early: bool) -> None:
    """A turn that was begun early may be answered before others are told that its speech ended."""
    ended = SpeechEnded(turn=4, silence_seconds=0.6)
    answer, sound = answered(4, ENCODE, PREFILL), ReplySaid(turn=4, first_sound_ms=350.0, **SAID)
    order: list[Event] = [answer, ended] if early else [ended, answer]
    found = traced(*order, sound)
    [turn] = [span for span in found if span.name == "turn"]
    parts = [span for span in found if span is not turn]
    assert turn.context is not None
    assert all(part.parent and part.parent.span_id == turn.context.span_id for part in parts)
    assert len({part.context.trace_id for part in found if part.context}) == 1
    shift = 200.0 if early else 600.0
    assert {part.name: milliseconds(part, turn) for part in parts} == {
        "endpoint": (shift - 600, shift),
        "encode": (shift - 200, shift - 80),
        "prefill": (shift + 10, shift + 90),
        "first_token": (shift, shift + 300),
        "first_sound": (shift, shift + 350),
    }
    assert milliseconds(turn, turn) == (0, shift + 500)


def test_a_turn_that_failed_is_marked_and_says_nothing() -> None:
    [turn] = traced(TurnFailed(turn=1, source="text", problem="it said: a secret"))
    assert not turn.status.is_ok
    assert "secret" not in turn.to_json()


def test_of_many_turns_the_last_are_remembered() -> None:
    ends = [SpeechEnded(turn=turn, silence_seconds=1.0) for turn in range(500)]
    names = [span.name for span in traced(*ends, answered(3), answered(499))]
    assert names.count("endpoint") == 1


class Collector(BaseHTTPRequestHandler):
    """Keeps what is sent to it."""

    got: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        self.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.got.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_collector_gets_the_turns_of_a_daemon(
    start: Start, folder: Path, collector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody is there
    daemon = start(traces__endpoint=collector)
    write_flac(folder / "said.flac", tone(1.0, 440))
    *_, turn = daemon.do("ask", audio=folder / "said.flac", route="cascade")
    assert eventually(lambda: bool(Collector.got))
    [(path, body)] = Collector.got
    request = ExportTraceServiceRequest.FromString(body)
    [scope] = request.resource_spans[0].scope_spans
    assert path == "/v1/traces"
    assert {"turn", "first_token"} <= {span.name for span in scope.spans}
    assert str(turn["heard"]).encode() not in body
