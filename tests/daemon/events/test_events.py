"""Events reach those who follow, and have the same form on both ends of the socket."""

import json
import logging
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.events.bus import Events
from daemon.events.event import Event
from daemon.events.reading import AnyEvent, read_event
from daemon.events.turns import Heard, ReplyPiece, ToolCalled, TurnAnswered
from engines.errors import AttuneError

KINDS: tuple[type[Event], ...] = get_args(get_args(AnyEvent)[0])


def kinds_below(kind: type[Event]) -> Iterator[type[Event]]:
    for below in kind.__subclasses__():
        yield from kinds_below(below)
        if "event" in below.model_fields:
            yield below


def test_a_client_can_read_every_kind_of_event() -> None:
    assert set(kinds_below(Event)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
@given(data=st.data())
def test_an_event_comes_out_of_the_socket_as_it_went_in(
    kind: type[Event], data: st.DataObject
) -> None:
    anything = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans())
    open_ended = {"arguments": anything} if kind is ToolCalled else {}
    event = data.draw(st.builds(kind, **open_ended))
    line = json.dumps(event.message())
    read = read_event(json.loads(line))
    assert type(read) is kind
    assert json.dumps(read.message()) == line


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_no_event_looks_like_the_end_of_an_answer(kind: type[Event]) -> None:
    assert not {"done", "error"} & set(kind.model_fields)


def test_what_a_newer_daemon_adds_is_passed_over() -> None:
    message = {**ReplyPiece(turn=1, source="text", text="on").message(), "emphasis": 1.0}
    assert read_event(message) == ReplyPiece(turn=1, source="text", text="on")


@pytest.mark.parametrize(
    "message", [{}, {"event": "something new"}, {"event": "token", "turn": 1, "source": "text"}]
)
def test_what_this_release_does_not_know_is_one_clear_line(message: dict[str, Any]) -> None:
    with pytest.raises(AttuneError, match="restart the daemon"):
        read_event(message)


def test_subscribers_get_the_kind_that_they_asked_for_until_they_leave() -> None:
    events = Events()
    seen: list[Event] = []
    leave = events.subscribe(ReplyPiece, seen.append)
    piece = ReplyPiece(turn=1, source="text", text="on")
    events.publish(piece)
    events.publish(Heard(turn=1, source="text", text="hello"))
    leave()
    events.publish(piece)
    assert seen == [piece]


def test_a_subscriber_that_fails_keeps_the_event_from_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = Events()
    seen: list[Event] = []

    def defect(event: Event) -> None:
        raise ZeroDivisionError("a defect")

    events.subscribe(Event, defect)
    events.subscribe(Event, seen.append)
    with caplog.at_level(logging.ERROR):
        events.publish(Heard(turn=1, source="text", text="hello"))
    assert len(seen) == 1
    assert "a defect" in caplog.text


def test_no_transcript_is_logged_where_a_subscriber_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = Events()

    def defect(event: Event) -> None:
        raise ZeroDivisionError

    events.subscribe(Event, defect)
    events.publish(Heard(turn=1, source="text", text="my secret"))
    assert "my secret" not in caplog.text


def test_a_turn_that_is_stored_has_no_warning_in_its_message() -> None:
    answered = TurnAnswered(
        turn=1,
        source="text",
        id=1,
        utterance=None,
        route="text",
        heard="hello",
        reply="hello",
        first_token_ms=1.0,
        reply_ms=2.0,
        generation=None,
        interrupted=False,
        confidence=None,
        sure=True,
        asked_back=False,
    )
    assert "warning" not in answered.message()
    assert answered.model_copy(update={"warning": "later"}).message()["warning"] == "later"
