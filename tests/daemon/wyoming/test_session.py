"""What a client says about its request reaches the conversation."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, Eventable

from daemon.events.turns import SpeechHeard
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


async def talk(conversation: Any, *events: Eventable) -> list[Event]:
    sent: list[Event] = []
    answered = asyncio.Event()

    async def write(event: Event) -> None:
        sent.append(event)
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
    [event] = asyncio.run(talk(conversation, named, *sound))
    assert Transcript.from_event(event).context == {"confidence": 0.4, "sure": False}
    asyncio.run(talk(conversation, named, Transcribe(), *sound))
    assert [list(how["expected"]) for how in conversation.asked] == [["Siobhan", "metoprolol"], []]
    assert all(how["only_hear"] for how in conversation.asked)
