"""One connection of a Wyoming client: what it asks for, one thing after another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from wyoming.asr import (
    Transcribe,
    Transcript,
    TranscriptChunk,
    TranscriptStart,
    TranscriptStop,
)
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.handle import Handled, NotHandled
from wyoming.info import Describe, Info
from wyoming.intent import Entity, Intent, IntentsStart, IntentsStop
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
)
from wyoming.wake import Detect, Detection, NotDetected

from engines.audio.segmenter import SegmenterLimits
from engines.errors import AttuneError
from engines.types import Float32, Segment
from engines.wake.detector import WakeDetector

from ..clients import Client
from ..conversation.conversation import Conversation
from ..conversation.memory import DEVICE
from ..events.turns import SpeechHeard, TurnAnswered
from ..listening.spoken_input import SoundFormat, SpokenInput
from ..speaking.clauses import ClauseCutter
from ..speaking.network_voice import NetworkVoice, as_pcm
from .intent_words import said_of

logger = logging.getLogger(__name__)

SOURCE = "network"
_MOST_TEXT_CHARACTERS = 8000
_MOST_SECONDS = 120.0
"""The most sound of one request: what was said up to there is heard then."""
_MOST_EXPECTED = 200
Result = TypeVar("Result")


@dataclass(frozen=True)
class Offered:
    """The parts of a running daemon that clients reach."""

    info: Callable[[], Info]
    conversation: Callable[[], Conversation]
    """The conversation; raises AttuneError as long as the models are being opened."""
    limits: SegmenterLimits
    end_seconds: Callable[[], float]
    """The silence that ends a turn now."""
    voice: NetworkVoice
    wake: Callable[[], tuple[WakeDetector | None, str]]
    """Opens what listens for the wake word, and returns its name."""
    threads: Executor


class Session:
    """What one client has asked for so far."""

    def __init__(self, offered: Offered, write: Callable[[Event], Awaitable[None]]) -> None:
        self._offered = offered
        self._write = write
        self._client = Client()
        self._own_conversation = f"connection {uuid4()}"
        self._expected: Sequence[str] = ()
        self._input: SpokenInput | None = None
        self._wake: tuple[WakeDetector, str] | None = None
        self._cutter: ClauseCutter | None = None
        """Cuts the text that comes piece by piece; None if none does."""
        self._voice: str | None = None
        self._began_audio = False
        self._work: asyncio.Task[None] | None = None
        """What takes a while; the client may leave meanwhile."""

    async def take(self, event: Event) -> None:
        """Do what an event asks for. Unknown ones are passed over, as the protocol wants."""
        try:
            await self._take(event)
        except AttuneError as error:
            self._forget()
            await self._send(Error(text=str(error)))
        except (KeyError, TypeError, ValueError) as error:
            self._forget()
            logger.debug("a malformed event %s: %r", event.type, error)
            await self._send(Error(text=f"the event {event.type[:40]!r} is malformed"))

    def leave(self) -> None:
        """The client has left: what is computed for it ends."""
        self._client.leave()
        if self._work is not None:
            self._work.cancel()

    async def _take(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self._send(await self._in_thread(self._offered.info))
        elif Ping.is_type(event.type):
            await self._send(Pong(text=Ping.from_event(event).text))
        elif Transcribe.is_type(event.type):
            self._forget()
            asked = Transcribe.from_event(event)
            names = [*(asked.transcript_names or ()), *(asked.transcript_terms or ())]
            self._expected = [str(one)[:200] for one in names][:_MOST_EXPECTED]
        elif Detect.is_type(event.type):
            detector, word = await self._in_thread(self._offered.wake)
            if detector is None:
                raise AttuneError("no wake word is chosen; `attune wake use` chooses one")
            self._wake = detector, word
        elif AudioStart.is_type(event.type):
            begun = AudioStart.from_event(event)
            given = SoundFormat(begun.rate, begun.width, begun.channels)
            self._input = await self._in_thread(
                partial(SpokenInput, self._offered.limits, self._offered.end_seconds(), given)
            )
        elif AudioChunk.is_type(event.type):
            await self._hear(AudioChunk.from_event(event).audio)
        elif AudioStop.is_type(event.type):
            await self._end_audio()
        elif Transcript.is_type(event.type):
            self._begin(partial(self._answer, Transcript.from_event(event)))
        else:
            await self._take_text(event)

    async def _take_text(self, event: Event) -> None:
        """Take a text that is to be said."""
        if SynthesizeStart.is_type(event.type):
            start = SynthesizeStart.from_event(event)
            self._cutter, self._began_audio = ClauseCutter(), False
            self._voice = None if start.voice is None else start.voice.name
        elif SynthesizeChunk.is_type(event.type) and self._cutter is not None:
            text = _checked(SynthesizeChunk.from_event(event).text)
            await self._say_clauses(self._cutter.push(text))
        elif SynthesizeStop.is_type(event.type) and self._cutter is not None:
            await self._say_clauses(self._cutter.flush())
            self._cutter = None
            await self._end_sound()
            await self._send(SynthesizeStopped())
        elif Synthesize.is_type(event.type) and self._cutter is None:
            # Within a stream the whole text comes once more, for servers that know no streams.
            asked = Synthesize.from_event(event)
            self._voice = None if asked.voice is None else asked.voice.name
            self._began_audio = False
            cutter, text = ClauseCutter(), _checked(asked.text)
            await self._say_clauses([*cutter.push(text), *cutter.flush()])
            await self._end_sound()

    # --- hearing

    async def _hear(self, pcm: bytes) -> None:
        if self._input is None:
            return  # what follows an utterance that has ended
        if self._wake is not None:
            await self._listen(pcm)
            return
        segments = await self._in_thread(partial(self._input.push, pcm))
        if segments is None and self._input.seconds > _MOST_SECONDS:
            segments = await self._in_thread(self._input.end)
        if segments is not None:
            self._input = None
            self._begin(partial(self._transcribe, segments))

    async def _end_audio(self) -> None:
        given, self._input = self._input, None
        if given is None:
            return
        if self._wake is not None:
            self._wake = None
            await self._send(NotDetected())
            return
        self._begin(partial(self._transcribe, await self._in_thread(given.end)))

    async def _listen(self, pcm: bytes) -> None:
        assert self._wake is not None
        assert self._input is not None
        detector, word = self._wake
        samples = self._input.samples_of(pcm)
        if await self._in_thread(partial(detector.push, samples)) is not None:
            self._wake = self._input = None
            await self._send(Detection(name=word))

    async def _transcribe(self, segments: Sequence[Segment]) -> None:
        """Tell what was said in `segments`, each as soon as it is heard, and then the whole; an
        empty text where there are none."""
        await self._send(TranscriptStart())
        heard: list[SpeechHeard] = []
        for segment in segments:
            one = await self._in_thread(partial(self._ask, segment.samples))
            if one.text.strip():
                spaced = f" {one.text}" if any(had.text.strip() for had in heard) else one.text
                await self._send(TranscriptChunk(text=spaced))
            heard.append(one)
        sure = {
            "confidence": min(
                (one.confidence for one in heard if one.confidence is not None), default=None
            ),
            "sure": all(one.sure for one in heard),
        }
        text = " ".join(one.text for one in heard if one.text.strip())
        await self._send(Transcript(text=text, context=sure if heard else None))
        await self._send(TranscriptStop())

    async def _answer(self, asked: Transcript) -> None:
        text = _checked(asked.text)
        if not text.strip():
            await self._send(NotHandled(text="", context=asked.context))
            return
        answered = await self._in_thread(
            partial(self._ask, text, _hands_over(asked), self._conversation_of(asked))
        )
        assert isinstance(answered, TurnAnswered)
        if answered.intents:
            await self._hand_over(answered, asked)
        elif answered.reply:
            await self._send(Handled(text=answered.reply, context=asked.context))
        else:
            await self._send(NotHandled(text="", context=asked.context))

    async def _hand_over(self, answered: TurnAnswered, asked: Transcript) -> None:
        """Have Home Assistant do what was asked for, and say so."""
        intents = [
            Intent(
                one.name,
                [Entity(name, value) for name, value in one.slots.items()],
                said_of(one.name, answered.reply),
                context=asked.context,
            )
            for one in answered.intents
        ]
        if len(intents) == 1:
            await self._send(intents[0])
            return
        await self._send(IntentsStart(context=asked.context))
        for intent in intents:
            await self._send(intent)
        await self._send(IntentsStop(context=asked.context))

    def _conversation_of(self, asked: Transcript) -> str:
        """The name of a conversation: one for each satellite or device, else for each conversation
        that the client names, else for this connection."""
        context = asked.context if isinstance(asked.context, dict) else {}
        for key in ("satellite_id", "device_id", "conversation_id"):
            if context.get(key):
                return f"{key} {context[key]}"[:200]
        return self._own_conversation

    def _ask(
        self,
        words: Float32 | str,
        hands_over: Collection[str] = (),
        conversation: str = DEVICE,
    ) -> Any:
        """The last event of a turn. Raises AttuneError if it fails."""
        is_text = isinstance(words, str)
        events = self._offered.conversation().ask(
            words,
            SOURCE,
            client=self._client,
            expected=() if is_text else self._expected,
            only_hear=not is_text,
            heard_before=is_text,
            conversation=conversation,
            hands_over=hands_over,
        )
        *_, last = events
        return last

    # --- speaking

    async def _say_clauses(self, clauses: Sequence[str]) -> None:
        for clause in clauses:
            rate_hz, samples = await self._in_thread(
                partial(self._offered.voice.speak, clause, self._voice)
            )
            if not self._began_audio:
                await self._send(AudioStart(rate=rate_hz, width=2, channels=1))
                self._began_audio = True
            step = rate_hz // 10
            for start in range(0, len(samples), step):
                pcm = as_pcm(samples[start : start + step])
                await self._send(AudioChunk(rate=rate_hz, width=2, channels=1, audio=pcm))

    async def _end_sound(self) -> None:
        if not self._began_audio:  # nothing in the text can be said
            await self._send(AudioStart(rate=22050, width=2, channels=1))
        await self._send(AudioStop())
        self._began_audio = False

    # --- around both

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let `work` go on while further events are read."""
        if self._work is not None and not self._work.done():
            raise AttuneError("one thing at a time; wait for the answer, or open a connection more")
        self._work = asyncio.get_running_loop().create_task(self._told(work))

    async def _told(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except AttuneError as error:
            await self._send(Error(text=str(error)))
        except (OSError, TimeoutError):  # the client takes nothing any more
            return
        except Exception as error:  # a defect here must not leave the client waiting
            logger.exception("a request of a client of Wyoming's failed")
            await self._send(Error(text=f"this failed: {error!r}; the daemon's log says more"))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._offered.threads, work)

    async def _send(self, event: Eventable) -> None:
        await self._write(event.event())

    def _forget(self) -> None:
        self._input = self._cutter = self._wake = None


def _hands_over(asked: Transcript) -> Collection[str]:
    """The abilities in whose place Home Assistant does what it can. It alone names conversations;
    a phone or a browser of it has no timers, a satellite has."""
    context = asked.context if isinstance(asked.context, dict) else {}
    if "conversation_id" not in context:
        return ()
    return ("house", "timers") if context.get("device_id") else ("house",)


def _checked(text: str) -> str:
    if len(text) > _MOST_TEXT_CHARACTERS:
        raise AttuneError(f"a text has at most {_MOST_TEXT_CHARACTERS} characters")
    return text
