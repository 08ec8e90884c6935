"""Spoken conversations over a WebSocket, with the events that OpenAI's SDK reads."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import soxr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from daemon.http.realtime.conversation import Entry
from daemon.http.realtime.schema import SessionGiven
from daemon.http.realtime.session import merged
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.daemon.http.test_chat import surroundings
from tests.support.audio_fixtures import espeak
from tests.support.fake_child import eventually
from tests.support.fakes import EchoLanguageModel
from tests.support.http_house import HttpHouse, Start, start_house
from tests.support.running_daemon import folder

__all__ = ["folder", "start_house"]

RATE_HZ = 24000
SECONDS = 60


class Talk:
    """A client of one session."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []

    def send(self, kind: str, **more: Any) -> None:
        self.connection.send(json.dumps({"type": kind, "event_id": "mine", **more}))

    def say(self, samples: Float32) -> None:
        at_rate = soxr.resample(samples, SAMPLE_RATE_HZ, RATE_HZ)
        pcm = (32767 * at_rate).astype("<i2").tobytes()
        for start in range(0, len(pcm), 9600):
            audio = base64.b64encode(pcm[start : start + 9600]).decode()
            self.send("input_audio_buffer.append", audio=audio)

    def next(self, *kinds: str) -> dict[str, Any]:
        while True:
            event = json.loads(self.connection.recv(SECONDS))
            self.seen.append(event)
            assert event["event_id"]
            if event["type"] in kinds:
                return dict(event)

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.seen]


@contextmanager
def talking(house: HttpHouse, path: str = "", **more: Any) -> Iterator[Talk]:
    address = f"ws://127.0.0.1:{house.port}/v1/realtime{path}"
    with connect(address, **more) as connection:
        talk = Talk(connection)
        talk.next("session.created")
        yield talk


def pause(seconds: float) -> Float32:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def sentence() -> Float32:
    return np.concatenate([pause(0.3), espeak("What time is it?"), pause(1.5)])


def test_what_is_said_is_heard_and_answered_aloud(start_house: Start) -> None:
    with talking(start_house()) as talk:
        talk.say(sentence())
        done = talk.next("response.done")["response"]
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    places = [talk.kinds.index(kind) for kind in order]
    assert places == sorted(places)
    heard = talk.seen[places[3]]["transcript"]
    assert heard.startswith("a tone of ")
    assert done["status"] == "completed"
    assert done["output"][0]["content"][0]["transcript"] == f"2 {heard}"
    sound = b"".join(
        base64.b64decode(one["delta"])
        for one in talk.seen
        if one["type"] == "response.output_audio.delta"
    )
    assert len(sound) / 2 / RATE_HZ > 0.5
    ids = {one["item_id"] for one in talk.seen if one["type"].startswith("input_audio_buffer")}
    assert len(ids) == 1


def test_a_conversation_goes_on(start_house: Start) -> None:
    with talking(start_house()) as talk:
        talk.send("session.update", session={"output_modalities": ["text"], "instructions": "Hm."})
        assert talk.next("session.updated")["session"]["instructions"] == "Hm."
        for number, words in ((2, "hello"), (4, "again")):
            content = [{"type": "input_text", "text": words}]
            item = {"type": "message", "role": "user", "content": content}
            talk.send("conversation.item.create", item=item)
            talk.send("response.create")
            assert talk.next("response.output_text.done")["text"] == f"{number} {words}"
            assert talk.next("response.done")["response"]["usage"]["output_tokens"] == 2
        assert "response.output_audio.delta" not in talk.kinds


def test_a_session_may_only_transcribe(start_house: Start) -> None:
    with talking(start_house(), "?intent=transcription") as talk:
        assert talk.seen[0]["session"]["type"] == "transcription"
        talk.say(sentence())
        talk.next("conversation.item.input_audio_transcription.completed")
        talk.say(sentence())
        talk.next("conversation.item.input_audio_transcription.completed")
    assert "response.created" not in talk.kinds


def test_a_client_may_say_itself_where_a_turn_ends(start_house: Start) -> None:
    with talking(start_house()) as talk:
        talk.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
        talk.next("session.updated")
        talk.send("input_audio_buffer.commit")
        error = talk.next("error")["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")
        talk.say(sentence())
        talk.send("input_audio_buffer.clear")
        talk.next("input_audio_buffer.cleared")
        talk.say(sentence())
        talk.send("input_audio_buffer.commit")
        talk.next("conversation.item.input_audio_transcription.completed")
        assert "input_audio_buffer.speech_started" not in talk.kinds
        assert "response.created" not in talk.kinds
        talk.send("response.create", response={"output_modalities": ["text"]})
        assert talk.next("response.output_text.done")["text"].startswith("2 a tone of")


def test_the_silence_that_ends_a_turn_may_be_given(start_house: Start) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 2500, "create_response": False}
    with talking(start_house()) as talk:
        talk.send("session.update", session={"audio": {"input": {"turn_detection": detection}}})
        talk.say(np.concatenate([sentence(), sentence(), pause(1.5)]))
        talk.next("conversation.item.input_audio_transcription.completed")
    assert talk.kinds.count("input_audio_buffer.speech_started") == 1
    assert "response.created" not in talk.kinds


@pytest.mark.parametrize("by", ["speech", "event"])
def test_a_response_can_be_interrupted(start_house: Start, by: str) -> None:
    model = EchoLanguageModel()
    model.hold_after = 2
    model.hold.clear()
    house = start_house(surroundings(model))
    with talking(house) as talk:
        content = [{"type": "input_text", "text": "a b c d"}]
        item = {"type": "message", "role": "user", "content": content}
        talk.send("conversation.item.create", item=item)
        talk.send("response.create")
        talk.next("response.output_audio_transcript.delta")
        talk.send("response.create")
        assert talk.next("error")["error"]["code"] == "conversation_already_has_active_response"
        if by == "speech":
            talk.say(espeak("Stop that now, please."))
        else:
            talk.send("response.cancel")
        if by == "speech":
            talk.next("input_audio_buffer.speech_started")
        model.hold.set()
        done = talk.next("response.done")["response"]
        assert done["status"] == "cancelled"
        assert done["output"][0]["status"] == "incomplete"
    assert eventually(lambda: not house.app.parts.attention.needed)


def test_items_are_kept_found_and_deleted(start_house: Start) -> None:
    with talking(start_house()) as talk:
        item = {
            "id": "one",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hello"}],
        }
        talk.send("conversation.item.create", item=item)
        assert talk.next("conversation.item.done")["item"]["id"] == "one"
        talk.send("conversation.item.create", item=item)
        assert "already" in talk.next("error")["error"]["message"]
        talk.send("conversation.item.retrieve", item_id="one")
        found = talk.next("conversation.item.retrieved")["item"]
        assert found["content"] == [{"type": "input_text", "text": "hello"}]
        talk.send("conversation.item.delete", item_id="one")
        talk.next("conversation.item.deleted")
        talk.send("conversation.item.retrieve", item_id="one")
        assert talk.next("error")["error"]["code"] == "item_not_found"


def test_what_was_not_heard_of_a_reply_is_cut_off() -> None:
    entry = Entry("x", "assistant", "One. Two. Three.", spoken=True)
    entry.clauses = [("One.", 1.0), ("Two.", 1.0), ("Three.", 1.0)]
    entry.truncate(1.2)
    assert entry.text == "One. Two."
    entry.truncate(0.0)
    assert entry.text == ""


def test_only_what_is_given_is_changed() -> None:
    now = SessionGiven.model_validate(
        {"type": "realtime", "instructions": "a", "audio": {"input": {"turn_detection": {}}}}
    )
    given = SessionGiven.model_validate({"audio": {"output": {"voice": "alloy"}}})
    found = merged(now, given)
    assert found.instructions == "a"
    assert found.audio is not None
    assert found.audio.input is not None
    assert found.audio.input.turn_detection is not None
    off = SessionGiven.model_validate({"audio": {"input": {"turn_detection": None}}})
    without = merged(found, off).audio
    assert without is not None
    assert without.input is not None
    assert without.input.turn_detection is None
    assert without.output is not None
    assert without.output.voice == "alloy"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"type": "nonsense"}', '{"type": "response.create", "response": 5}',
     '{"type": "input_audio_buffer.append", "audio": "?"}',
     '{"type": "input_audio_buffer.append", "audio": "AA=="}',
     '{"type": "session.update", "session": {"audio": {"output": {"format": {"type": "x"}}}}}',
     '{"type": "conversation.item.delete", "item_id": "none"}', "[" * 5000],
)  # fmt: skip
def test_what_is_wrong_is_told_and_the_session_goes_on(start_house: Start, text: str) -> None:
    with talking(start_house()) as talk:
        talk.connection.send(text)
        error = talk.next("error")["error"]
        assert error["message"]
        talk.send("input_audio_buffer.clear")
        talk.next("input_audio_buffer.cleared")


def test_a_session_outlives_the_time_for_a_first_request(
    start_house: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.http.server._HEADERS_SECONDS", 0.2)
    with talking(start_house()) as talk:
        time.sleep(0.6)
        talk.send("input_audio_buffer.clear")
        talk.next("input_audio_buffer.cleared")


def test_bytes_end_a_session(start_house: Start) -> None:
    house = start_house()
    with talking(house) as talk:
        talk.connection.send(b"bytes")
        with pytest.raises(ConnectionClosed):
            talk.next("never")
    with talking(house):
        pass


def test_a_token_may_come_as_a_subprotocol(start_house: Start) -> None:
    house = start_house()
    secret = house.tokens.add("page", ["talk"])
    wrong = house.tokens.add("ears", ["hear"])

    def offered(key: str) -> Any:
        return ["realtime", f"openai-insecure-api-key.{key}"]

    with talking(house, subprotocols=offered(secret)) as talk:
        assert talk.connection.subprotocol == "realtime"
    for given in ({}, {"subprotocols": offered(wrong)}):
        with pytest.raises(InvalidStatus), talking(house, **given):
            pass


def test_too_many_sessions_are_refused(start_house: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.http.service.MOST_SESSIONS", 1)
    house = start_house()
    with talking(house), pytest.raises(ConnectionClosed), talking(house):
        pass
    assert eventually(lambda: _opens(house))


def _opens(house: HttpHouse) -> bool:
    try:
        with talking(house):
            return True
    except ConnectionClosed:
        return False
