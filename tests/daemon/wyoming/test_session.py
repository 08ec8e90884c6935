"""What a client says about its request reaches the conversation."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, Eventable
from wyoming.intent import Intent

from daemon.events.turns import HandedOver, SpeechHeard, TurnAnswered
from daemon.wyoming.session import Offered, Session
from engines.audio.segmenter import SegmenterLimits
from tests.support.audio_fixtures import espeak

FORM: Any = {"rate": 16000, "width": 2, "channels": 1}


class Conversation:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def ask(self, words: object, source: str, **how: Any) -> Iterator[SpeechHeard]:
        self.asked.append(how)
        yield SpeechHeard(
            turn=1, source=source, text="hello", utterance=None, confidence=0.4, sure=False
        )


async def talk(conversation: Any, *events: Eventable, waits: int = 1) -> list[Event]:
    sent: list[Event] = []
    answered = asyncio.Event()

    async def write(event: Event) -> None:
        sent.append(event)
        if len(sent) >= waits:
            answered.set()

    unused: Any = None
    with ThreadPoolExecutor(2) as threads:
        offered = Offered(
            info=unused,
            conversation=lambda: conversation,
            limits=SegmenterLimits(),
            end_seconds=lambda: 0.6,
            voice=unused,
            wake=unused,
            threads=threads,
        )
        session = Session(offered, write)
        for event in events:
            await session.take(event.event())
        async with asyncio.timeout(120):
            await answered.wait()
    return sent


def test_names_and_terms_are_expected_in_that_request_alone() -> None:
    pcm = (32767 * np.asarray(espeak("Call Siobhan."))).astype("<i2").tobytes()
    sound: list[Eventable] = [AudioStart(**FORM), AudioChunk(audio=pcm, **FORM), AudioStop()]
    conversation = Conversation()
    named = Transcribe(transcript_names=["Siobhan"], transcript_terms=["metoprolol"])
    events = asyncio.run(talk(conversation, named, *sound, waits=4))
    [event] = [event for event in events if Transcript.is_type(event.type)]
    assert Transcript.from_event(event).context == {"confidence": 0.4, "sure": False}
    asyncio.run(talk(conversation, named, Transcribe(), *sound, waits=4))
    assert [list(how["expected"]) for how in conversation.asked] == [["Siobhan", "metoprolol"], []]
    assert all(how["only_hear"] for how in conversation.asked)


class Understanding:
    """Understands two things at once, and notes in whose place Home Assistant acts."""

    def __init__(self, *intents: HandedOver, reply: str = "") -> None:
        self.intents, self.reply = intents, reply
        self.hands_over: list[Any] = []
        self.conversations: list[str] = []

    def ask(self, words: object, source: str, **how: Any) -> Iterator[TurnAnswered]:
        self.hands_over.append(tuple(how["hands_over"]))
        self.conversations.append(how["conversation"])
        yield TurnAnswered(
            turn=1,
            source=source,
            id=None,
            utterance=None,
            route="text",
            heard=str(words),
            reply=self.reply,
            first_token_ms=None,
            reply_ms=1.0,
            generation=None,
            interrupted=False,
            confidence=None,
            sure=True,
            asked_back=False,
            intents=self.intents,
        )


LIGHT = HandedOver(name="HassTurnOn", slots={"name": "kitchen light"})
TIMER = HandedOver(name="HassStartTimer", slots={"minutes": 5})
ASSISTANT = {"conversation_id": "1"}


def test_what_home_assistant_can_do_goes_back_as_an_intent() -> None:
    understanding = Understanding(LIGHT)
    [event] = asyncio.run(talk(understanding, Transcript("turn it on", context=ASSISTANT)))
    intent = Intent.from_event(event)
    assert (intent.name, [(one.name, one.value) for one in intent.entities]) == (
        "HassTurnOn",
        [("name", "kitchen light")],
    )
    assert intent.text == (
        "{% set what = slots.name or slots.area or 'That' %}"
        "{{ what[:1] | upper }}{{ what[1:] }} is on."
    )
    assert understanding.hands_over == [("house",)]


def test_several_intents_go_back_together() -> None:
    sent = asyncio.run(
        talk(Understanding(LIGHT, TIMER), Transcript("both", context=ASSISTANT), waits=4)
    )
    assert [event.type for event in sent] == ["intents-start", "intent", "intent", "intents-stop"]


def test_a_satellite_has_timers_and_another_client_does_nothing_itself() -> None:
    understanding = Understanding(TIMER)
    asyncio.run(talk(understanding, Transcript("a", context={**ASSISTANT, "device_id": "7"})))
    asyncio.run(talk(understanding, Transcript("a", context={"device_id": "7"})))
    asyncio.run(talk(understanding, Transcript("a")))
    assert understanding.hands_over == [("house", "timers"), (), ()]


def test_nothing_that_was_heard_becomes_a_template_of_home_assistants() -> None:
    name = "{{ states('lock.front') }}"
    named = HandedOver(name="HassTurnOn", slots={"name": name})
    understanding = Understanding(named, reply=f"{name} is on.")
    [event] = asyncio.run(talk(understanding, Transcript("a", context=ASSISTANT)))
    assert "states(" not in str(Intent.from_event(event).text)


def test_a_conversation_belongs_to_a_satellite_or_else_to_what_the_client_names() -> None:
    understanding = Understanding(reply="Yes.")
    contexts: list[dict[str, Any] | None] = [
        {"conversation_id": "1", "device_id": "d", "satellite_id": "s"},
        {"conversation_id": "2", "device_id": "d"},
        {"conversation_id": "3", "device_id": None},
        None,
        None,
    ]
    for context in contexts:
        asyncio.run(talk(understanding, Transcript("hello", context=context)))
    *named, first, second = understanding.conversations
    assert named == ["satellite_id s", "device_id d", "conversation_id 3"]
    assert first != second
