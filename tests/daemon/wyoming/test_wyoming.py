"""A whole daemon through Wyoming, spoken to by the client of the package itself."""

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soxr
from wyoming.asr import (
    Transcribe,
    Transcript,
    TranscriptChunk,
    TranscriptStart,
    TranscriptStop,
)
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.handle import Handled, NotHandled
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)
from wyoming.wake import Detect, Detection, NotDetected

from daemon.app import App
from daemon.client.socket_client import request
from daemon.config.settings import Settings
from engines.device.memory import proportional_bytes
from engines.types import SAMPLE_RATE_HZ, Float32
from tests.engines.wake.test_own_phrase import silence, take
from tests.support.audio_fixtures import espeak
from tests.support.consent import agree
from tests.support.fake_child import eventually
from tests.support.fake_speech import RATE_HZ, hum, speaking_surroundings
from tests.support.open_files import open_files
from tests.support.running_daemon import folder, make_settings

__all__ = ["folder"]

SECONDS = 120
Answer = TypeVar("Answer")


class House:
    """A daemon that serves Wyoming on some port of this machine."""

    def __init__(self, folder: Path, **flags: object) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings: Settings = make_settings(
            folder,
            **{"speaking.voice": "hum", "wyoming.address": f"127.0.0.1:{self.port}", **flags},
        )
        agree(self.settings.state_dir)
        self.app = App(self.settings, speaking_surroundings())

    def talk(self, what: Callable[[AsyncTcpClient], Awaitable[Answer]]) -> Answer:
        async def talked() -> Answer:
            async with asyncio.timeout(SECONDS), AsyncTcpClient("127.0.0.1", self.port) as client:
                return await what(client)

        return asyncio.run(talked())

    def status(self) -> dict[str, Any]:
        [status] = request(self.settings.control.socket, {"command": "status"}, SECONDS)
        return status


Start = Callable[..., House]


@pytest.fixture
def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    # Another program may have the port for a moment.
    monkeypatch.setattr("daemon.port_problem.RETRY_SECONDS", 0.05)
    started: list[House] = []

    def run(**flags: object) -> House:
        started.append(House(folder, **flags))
        started[-1].app.__enter__()
        if "wyoming__address" not in flags:
            assert eventually(lambda: started[-1].status()["problems"] == [])
        return started[-1]

    yield run
    for one in started:
        one.app.__exit__()


async def send(client: AsyncTcpClient, *events: Eventable) -> None:
    for event in events:
        await client.write_event(event.event())


async def next_event(client: AsyncTcpClient) -> Event:
    event = await client.read_event()
    assert event is not None
    return event


async def transcribed(client: AsyncTcpClient) -> tuple[Transcript, list[str]]:
    """The transcript that comes now, and its parts as they came before it."""
    assert TranscriptStart.is_type((await next_event(client)).type)
    parts = []
    while not Transcript.is_type((event := await next_event(client)).type):
        parts.append(TranscriptChunk.from_event(event).text)
    assert TranscriptStop.is_type((await next_event(client)).type)
    return Transcript.from_event(event), parts


def sound(samples: Float32, rate_hz: int = SAMPLE_RATE_HZ, channels: int = 1) -> list[Eventable]:
    pcm = np.repeat((32767 * samples).astype("<i2"), channels).tobytes()
    form: Any = {"rate": rate_hz, "width": 2, "channels": channels}
    return [
        AudioChunk(audio=pcm[start : start + 2000], **form) for start in range(0, len(pcm), 2000)
    ]


def begun(rate_hz: int = SAMPLE_RATE_HZ, channels: int = 1, width: int = 2) -> list[Eventable]:
    return [
        Transcribe(language="en"),
        AudioStart(rate=rate_hz, width=width, channels=channels),
    ]


def test_it_describes_what_it_offers(start: Start) -> None:
    found = start().talk(described)
    [asr], [handle], [tts] = found.asr, found.handle, found.tts
    assert asr.requires_external_vad is False
    assert asr.supports_transcript_streaming
    assert asr.models[0].languages == handle.models[0].languages == ["en"]
    assert tts.supports_synthesize_streaming
    assert "hibari" in [voice.name for voice in tts.voices]
    assert found.wake == []
    assert all(one.installed for one in (asr, handle, tts))


def test_what_is_said_ends_by_itself_and_is_answered_with_what_is_known_of_it(start: Start) -> None:
    house = start(segmenter__end_silence_seconds=0.5)

    async def hear(client: AsyncTcpClient) -> Transcript:
        speech = espeak("Turn on the kitchen light.")
        await send(client, *begun(), *sound(np.concatenate([silence(0.3), speech, silence(1.5)])))
        return (await transcribed(client))[0]  # before any audio-stop

    async def answer(client: AsyncTcpClient, text: str) -> Handled:
        await send(client, Transcript(text=text, context={"conversation_id": "7"}))
        return Handled.from_event(await next_event(client))

    heard = house.talk(hear)
    assert heard.text.startswith("a tone of")
    assert set(heard.context or {}) == {"confidence", "sure"}
    assert house.status()["counts"]["utterances"] == 1
    assert house.status()["counts"]["turns"] == 0
    handled = house.talk(lambda client: answer(client, heard.text))
    assert handled.text == f"0 {heard.text}"
    assert handled.context == {"conversation_id": "7"}
    [turn] = house.status()["last_turns"]
    assert turn["route"] == "cascade"
    assert turn["utterance"] is not None, "it can be corrected"
    typed = house.talk(lambda client: answer(client, "what is this"))
    assert typed.text == "1 what is this"
    assert house.status()["last_turns"][0]["route"] == "text"


@pytest.mark.parametrize(("rate_hz", "channels"), [(16000, 1), (48000, 2), (8000, 1)])
def test_speech_that_is_cut_by_the_client_is_heard_to_its_end(
    start: Start, rate_hz: int, channels: int
) -> None:
    async def hear(client: AsyncTcpClient) -> Transcript:
        speech = soxr.resample(espeak("Hello."), SAMPLE_RATE_HZ, rate_hz)
        await send(
            client,
            *begun(rate_hz, channels),
            *sound(speech.astype(np.float32), rate_hz, channels),
            AudioStop(),
        )
        return (await transcribed(client))[0]

    assert start().talk(hear).text.startswith("a tone of")


def test_speech_that_is_longer_than_a_segment_is_heard_as_a_whole(start: Start) -> None:
    house = start()

    async def hear(client: AsyncTcpClient) -> tuple[Transcript, list[str]]:
        speech = np.concatenate([espeak("One two three four five six seven eight.")] * 14)
        assert len(speech) > 32 * SAMPLE_RATE_HZ
        await send(client, *begun(), *sound(np.concatenate([speech, silence(1.0)])))
        return await transcribed(client)

    whole, parts = house.talk(hear)
    assert [part.count("a tone of") for part in parts] == [1, 1]  # each as soon as it is heard
    assert "".join(parts) == whole.text
    assert house.status()["counts"]["utterances"] == 2


def test_silence_is_heard_as_nothing(start: Start) -> None:
    house = start()

    async def hear(client: AsyncTcpClient, samples: Float32, *end: Eventable) -> str:
        await send(client, *begun(), *sound(samples), *end)
        return (await transcribed(client))[0].text

    assert house.talk(lambda client: hear(client, silence(1.0), AudioStop())) == ""
    assert house.talk(lambda client: hear(client, silence(121.0))) == ""
    assert house.talk(lambda client: hear(client, silence(0.0), AudioStop())) == ""
    assert house.status()["counts"]["utterances"] == 0

    async def answer(client: AsyncTcpClient) -> Event:
        await send(client, Transcript(text=" "))
        return await next_event(client)

    assert NotHandled.is_type(house.talk(answer).type)


async def spoken(client: AsyncTcpClient) -> tuple[int, bytes, list[str]]:
    """The rate, the sound, and the kinds of events up to its end."""
    rate, pcm, kinds = 0, b"", []
    while True:
        event = await next_event(client)
        kinds.append(event.type)
        if AudioStart.is_type(event.type):
            rate = AudioStart.from_event(event).rate
        elif AudioChunk.is_type(event.type):
            pcm += AudioChunk.from_event(event).audio
        elif AudioStop.is_type(event.type):
            return rate, pcm, kinds


def test_a_text_is_said(start: Start) -> None:
    async def say(client: AsyncTcpClient) -> tuple[int, bytes, list[str]]:
        await send(client, Synthesize(text="The light is on. The door is shut."))
        return await spoken(client)

    rate, pcm, kinds = start().talk(say)
    assert rate == RATE_HZ
    letters = len("The light is on.") + len("The door is shut.")
    assert len(pcm) / 2 / rate == pytest.approx(0.05 * letters + 0.6, abs=0.2)
    assert len(hum("x"))
    assert kinds[0] == "audio-start"
    assert kinds[-1] == "audio-stop"


def test_a_text_is_said_while_it_is_written_and_not_once_more(start: Start) -> None:
    async def say(client: AsyncTcpClient) -> tuple[bool, int, str]:
        await send(client, SynthesizeStart(), SynthesizeChunk(text="The light is on. And the"))
        first = await next_event(client)
        await send(
            client,
            SynthesizeChunk(text=" door is shut."),
            Synthesize(text="The light is on. And the door is shut."),
            SynthesizeStop(),
        )
        _, pcm, _ = await spoken(client)
        return AudioStart.is_type(first.type), len(pcm), (await next_event(client)).type

    began, size, last = start().talk(say)
    assert began, "its sound begins before its end is known"
    assert last == SynthesizeStopped().event().type
    letters = len("The light is on.") + len("And the door is shut.")
    assert size / 2 / RATE_HZ == pytest.approx(0.05 * letters + 0.6, abs=0.2)


def test_what_cannot_be_done_is_told_and_the_next_thing_is_done(start: Start) -> None:
    async def fail(client: AsyncTcpClient) -> list[str]:
        told = []
        for events in (
            [Synthesize(text="Hi.", voice=SynthesizeVoice(name="missing"))],
            [Synthesize(text="x" * 9000)],
            begun(width=4),
            begun(channels=0),
            [Detect()],
        ):
            await send(client, *events)
            told.append(Error.from_event(await next_event(client)).text)
        await client.write_event(Event("synthesize", {"voice": 3}))
        told.append(Error.from_event(await next_event(client)).text)
        await client.write_event(Event("something-new", {}))
        await send(client, Ping(text="?"))
        assert Pong.from_event(await next_event(client)).text == "?"
        return told

    missing, long, width, channels, wake, malformed = start().talk(fail)
    assert "no voice is called 'missing'" in missing
    assert "at most 8000 characters" in long
    assert "not 32 bits" in width
    assert "0 channels" in channels
    assert "no wake word is chosen" in wake
    assert "malformed" in malformed


LIES = (
    b"\n",
    b"not json\n",
    b"[]\n",
    b'{"type": 3}\n',
    b'{"data": {}}\n',
    b'{"type": "ping", "data_length": 99999999999}\n',
    b'{"type": "audio-chunk", "payload_length": -1}\n',
    b'{"type": "audio-chunk", "payload_length": "9"}\n',
    b'{"type": "ping", "data": [1]}\n',
    b'{"type": "ping", "data_length": 3}\nabc',
    b"[" * 60000 + b"\n",
    b"x" * 200_000,
)


@pytest.mark.parametrize("sent", LIES, ids=range(len(LIES)))
def test_what_is_no_event_ends_the_connection_and_nothing_else(start: Start, sent: bytes) -> None:
    house = start()
    with socket.create_connection(("127.0.0.1", house.port), SECONDS) as client:
        client.sendall(sent)
        answer = client.makefile("rb").readline()
    assert json.loads(answer)["type"] == "error"

    async def ping(client: AsyncTcpClient) -> Event:
        await send(client, Ping())
        return await next_event(client)

    assert Pong.is_type(house.talk(ping).type)


def stream(*events: Eventable) -> bytes:
    """`events` as they go through a socket."""
    written = b""
    for one in events:
        event = one.event()
        data = json.dumps(event.data).encode()
        head = {"type": event.type, "data_length": len(data)}
        if event.payload:
            head["payload_length"] = len(event.payload)
        written += json.dumps(head).encode() + b"\n" + data + (event.payload or b"")
    return written


def test_five_hundred_broken_streams_leave_nothing_behind(start: Start) -> None:
    house = start()
    honest = [
        stream(Describe(), Ping()),
        stream(*begun(), *sound(silence(0.5)), AudioStop()),
        stream(Transcript(text="hello"), Ping()),
        stream(Synthesize(text="hello")),
        stream(SynthesizeStart(), SynthesizeChunk(text="hel"), SynthesizeStop()),
        stream(Detect(names=["hey"]), *begun()),
    ]

    def broken(sent: bytes, wait: bool) -> None:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", house.port), SECONDS) as client,
        ):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)  # half closed
            while wait and client.recv(65536):
                pass

    async def ping(client: AsyncTcpClient) -> bool:
        await send(client, Ping())
        return Pong.is_type((await next_event(client)).type)

    generator = random.Random(27)
    for sent in (*LIES, *honest):
        broken(sent, wait=True)
    files, memory = open_files(), proportional_bytes()
    for number in range(500):
        changed = bytearray(generator.choice([*LIES[:-2], *honest])[:6000])
        for _ in range(generator.randrange(6)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        broken(bytes(changed[: generator.randrange(1, 6001)]), wait=number % 4 == 0)
        if number % 50 == 0:
            assert house.talk(ping)
    assert house.talk(ping)
    assert eventually(lambda: open_files() <= files + 2)
    assert eventually(lambda: house.status()["attentive"] is False)
    assert proportional_bytes() < memory + (64 << 20)


def test_who_leaves_in_the_middle_leaves_nothing_behind(start: Start) -> None:
    house = start()
    for sent in (b'{"type": "audio-chunk", "payload_length": 1000}\nabc', b'{"type": "descr'):
        with socket.create_connection(("127.0.0.1", house.port), SECONDS) as client:
            client.sendall(sent)

    async def leave(client: AsyncTcpClient) -> None:
        await send(client, *begun(), *sound(espeak("Turn on the light.")), AudioStop())

    house.talk(leave)
    assert eventually(lambda: house.status()["attentive"] is False)


def test_too_many_clients_are_told(start: Start) -> None:
    house = start()
    held = [socket.create_connection(("127.0.0.1", house.port), SECONDS) for _ in range(40)]
    try:
        last = held[-1]
        last.settimeout(SECONDS)
        assert json.loads(last.makefile("rb").readline())["type"] == "error"
    finally:
        for one in held:
            one.close()


def test_a_wake_word_is_heard_for_a_satellite(start: Start) -> None:
    house = start(wake__word="hey_jarvis")

    async def detect(client: AsyncTcpClient, samples: Float32) -> Event:
        await send(client, Detect(), *begun()[1:], *sound(samples), AudioStop())
        return await next_event(client)

    called = np.concatenate([silence(1.0), espeak("hey jarvis"), silence(1.0)])
    event = house.talk(lambda client: detect(client, called))
    assert Detection.from_event(event).name == "hey_jarvis"
    other = house.talk(lambda client: detect(client, take("Turn on the light.", 120)))
    assert NotDetected.is_type(other.type)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0..1", "192.0.2.7"])
def test_a_port_that_cannot_be_opened_is_told_and_tried_again(start: Start, host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        house = start(wyoming__address=f"{host}:{port}")
        house.port = port
        [problem] = house.status()["problems"]
        assert f"Wyoming cannot be served at {host}:{port}" in problem
        assert "set wyoming.address to another" in problem
    if host == "127.0.0.1":
        assert eventually(lambda: house.status()["problems"] == [])
        assert house.talk(described).asr


async def described(client: AsyncTcpClient) -> Info:
    await send(client, Describe())
    return Info.from_event(await next_event(client))


def test_a_client_that_reads_nothing_holds_nothing_up(start: Start) -> None:
    house = start()
    with socket.create_connection(("127.0.0.1", house.port), SECONDS) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = json.dumps({"type": "synthesize", "data": {"text": "Hello there. " * 600}})
        client.sendall(text.encode() + b"\n")
        assert house.talk(described).asr
        house.app.__exit__()
        house.app.__enter__()


def test_without_an_address_nothing_is_served(start: Start) -> None:
    house = start(wyoming__address="")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", house.port), SECONDS)
