"""One session: takes the client's events, finds turns in its sound, and answers them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import numpy as np
import soxr
from pydantic import ValidationError

from engines.audio.segmenter import SegmentEvent, SpeechCancelled, SpeechStarted
from engines.errors import AttuneError
from engines.schema import first_problem
from engines.types import SAMPLE_RATE_HZ, Float32, Segment

from ..context import running
from ..errors import RefusedError, body, refusal
from ..offered import Offered
from ..openai.chat import confirmed
from ..openai.reading import Read, read, stretches
from . import schema
from .conversation import Conversation, Entry, new_id
from .live_input import RATE_HZ, LiveInput, samples_in
from .response import Response, Wanted

logger = logging.getLogger(__name__)

_PCM = {"type": "audio/pcm", "rate": RATE_HZ}
_PIECE_BYTES = RATE_HZ // 5 * 2
"""The sound of one event: a fifth of a second."""


class Session:
    """What one client has said and heard so far."""

    def __init__(
        self,
        offered: Offered,
        who: str,
        only_transcribes: bool,
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._offered = offered
        self._who = who
        self._send_event = send
        self.id = new_id("sess")
        self._given = schema.SessionGiven(
            type="transcription" if only_transcribes else "realtime",
            output_modalities=["audio"],
            audio=schema.Audio(
                input=schema.InputAudio(turn_detection=schema.TurnDetection()),
                output=schema.OutputAudio(),
            ),
        )
        self._conversation = Conversation()
        self._input = LiveInput(offered.limits, self._end_seconds())
        self._item = new_id("item")
        """The id of the message that is being spoken, or comes next."""
        self._responding: asyncio.Task[None] | None = None
        self._turns: asyncio.Queue[tuple[str, list[Segment]]] = asyncio.Queue(8)
        self._hearing = asyncio.create_task(self._hear_turns())

    async def open(self) -> None:
        """Tell that the session is there."""
        await self._send("session.created", session=self._described())

    async def close(self) -> None:
        """End everything that is done for the client."""
        self._hearing.cancel()
        await asyncio.wait({self._hearing})
        await self._interrupt()  # only now: what hears begins responses

    async def take(self, event: object) -> None:
        """Do what an event asks for. What is wrong with it is told."""
        name = event.get("event_id") if isinstance(event, dict) else None
        try:
            try:
                given = schema.CLIENT_EVENTS.validate_python(event)
            except ValidationError as error:
                where, what = first_problem(error)
                raise RefusedError(400, f"{where or 'the event'}: {what}", None, where) from error
            await self._take(given)
        except AttuneError as error:
            told = body(refusal(error))["error"]
            await self._send("error", error={**told, "event_id": name})

    async def _take(self, event: schema.ClientEvent) -> None:
        match event:
            case schema.Append():
                await self._append(samples_in(event.audio))
            case schema.Commit():
                await self._commit()
            case schema.Clear():
                self._input.clear()
                await self._send("input_audio_buffer.cleared")
            case schema.SessionUpdate():
                self._update(event.session)
                await self._send("session.updated", session=self._described())
            case schema.CreateItem():
                await self._create(event.item)
            case schema.DeleteItem():
                self._conversation.remove(event.item_id)
                await self._send("conversation.item.deleted", item_id=event.item_id)
            case schema.RetrieveItem():
                item = self._conversation.find(event.item_id).item()
                await self._send("conversation.item.retrieved", item=item)
            case schema.TruncateItem():
                self._conversation.find(event.item_id).truncate(event.audio_end_ms / 1000)
                await self._send(
                    "conversation.item.truncated",
                    item_id=event.item_id,
                    content_index=event.content_index,
                    audio_end_ms=event.audio_end_ms,
                )
            case schema.CreateResponse():
                if self._responding is not None and not self._responding.done():
                    raise RefusedError(
                        400,
                        "a response is being written",
                        "conversation_already_has_active_response",
                    )
                self._respond(event.response)
            case schema.CancelResponse():
                await self._interrupt()

    # --- what was given

    def _update(self, given: schema.SessionGiven) -> None:
        for sound in (given.audio and given.audio.input, given.audio and given.audio.output):
            form = sound.format if sound else None
            if form is not None and (form.type != "audio/pcm" or form.rate not in (None, RATE_HZ)):
                raise RefusedError(400, f"sound is audio/pcm of {RATE_HZ} Hz", None, "audio.format")
        self._given = merged(self._given, given)
        self._input.set_end(self._end_seconds())

    @property
    def _detection(self) -> schema.TurnDetection | None:
        audio = self._given.audio
        return audio.input.turn_detection if audio and audio.input else None

    def _end_seconds(self) -> float | None:
        """The silence that ends a turn: what the client wants, or else the user's own."""
        detection = self._detection
        if detection is None:
            return None
        if detection.silence_duration_ms is not None:
            return detection.silence_duration_ms / 1000
        return self._offered.end_seconds()

    @property
    def _only_transcribes(self) -> bool:
        return self._given.type == "transcription"

    def _described(self) -> dict[str, Any]:
        given = self._given.model_dump(mode="json", exclude_none=True)
        audio = given.setdefault("audio", {})
        heard, said = audio.setdefault("input", {}), audio.setdefault("output", {})
        heard["format"] = said["format"] = _PCM
        heard.setdefault("turn_detection", None)
        heard.setdefault("transcription", {"model": "attune"})
        said.setdefault("voice", "alloy")
        if self._only_transcribes:
            del audio["output"]
            given.pop("output_modalities", None)
        return {
            **given,
            "object": "realtime.session",
            "id": self.id,
            "model": "attune",
            **({} if self._only_transcribes else {"instructions": self._instructions(None)}),
        }

    def _instructions(self, given: schema.ResponseGiven | None) -> str:
        prompt: str = self._offered.settings.conversation.system_prompt
        return self._own_instructions(given) or prompt

    def _own_instructions(self, given: schema.ResponseGiven | None) -> str | None:
        """What the client wants answers to be like; None if it leaves that to Attune."""
        own = given.instructions if given is not None else None
        return own or self._given.instructions

    # --- hearing

    async def _append(self, samples: Float32) -> None:
        events = await self._in_thread(partial(self._input.push, samples))
        for event in events:
            await self._noticed(event)

    async def _noticed(self, event: SegmentEvent) -> None:
        match event:
            case SpeechStarted():
                await self._send(
                    "input_audio_buffer.speech_started",
                    item_id=self._item,
                    audio_start_ms=round(1000 * event.start_seconds),
                )
                detection = self._detection
                if detection is None or detection.interrupt_response:
                    await self._interrupt()
            case SpeechCancelled():
                await self._stopped()
            case Segment():
                await self._stopped()
                await self._committed([event])

    async def _stopped(self) -> None:
        await self._send(
            "input_audio_buffer.speech_stopped",
            item_id=self._item,
            audio_end_ms=round(1000 * self._input.seconds),
        )

    async def _commit(self) -> None:
        found = self._input.commit()
        if isinstance(found, Segment):
            await self._noticed(found)
            return
        if not isinstance(found, np.ndarray):
            raise RefusedError(
                400, "there is no sound to commit", "input_audio_buffer_commit_empty"
            )
        segments = await self._in_thread(partial(stretches, found, self._offered.limits))
        await self._committed(segments)

    async def _committed(self, segments: list[Segment]) -> None:
        """A message was spoken: it is heard in its turn."""
        if self._turns.full():
            raise RefusedError(503, "too much waits to be heard; speak more slowly", "busy")
        name, self._item = self._item, new_id("item")
        entry = Entry(name, "user", "", spoken=True)
        before = self._conversation.add(entry)
        await self._send("input_audio_buffer.committed", item_id=name, previous_item_id=before)
        await self._tell_item(entry, before)
        self._turns.put_nowait((name, segments))

    async def _hear_turns(self) -> None:
        while True:
            name, segments = await self._turns.get()
            try:
                await self._answer_heard(name, await self._heard(name, segments))
            except AttuneError as error:
                told = body(refusal(error))["error"]
                await self._send(
                    "conversation.item.input_audio_transcription.failed",
                    item_id=name,
                    content_index=0,
                    error=told,
                )
            except Exception:  # a defect must not leave the session deaf
                logger.exception("a turn of a session could not be heard")
                await self._send_defect()

    async def _answer_heard(self, name: str, heard: list[Read]) -> None:
        """Answer what was heard in one message, if that is wanted."""
        detection = self._detection
        if not heard or self._only_transcribes or detection is None:
            return
        if detection.create_response:
            await self._interrupt()
            sure = all(one.sure or not one.asks_back for one in heard)
            self._respond(None, "" if sure else self._conversation.find(name).text)

    async def _heard(self, name: str, segments: list[Segment]) -> list[Read]:
        """What was said in one message."""
        ready = running(self._offered)
        audio = self._given.audio
        asked = audio.input.transcription if audio and audio.input else None
        expected = asked.keywords or () if asked else ()
        found = self._offered.hearing.stream(
            self._who, lambda client: read(ready, segments, None, expected, client)
        )
        heard: list[Read] = []
        entry = self._conversation.find(name)
        async with aclosing(found):
            async for one in found:
                heard.append(one)
                delta = f" {one.text}" if entry.text else one.text
                entry.text += delta
                await self._send(
                    "conversation.item.input_audio_transcription.delta",
                    item_id=name,
                    content_index=0,
                    delta=delta,
                )
        seconds = sum(segment.seconds for segment in segments)
        await self._send(
            "conversation.item.input_audio_transcription.completed",
            item_id=name,
            content_index=0,
            transcript=entry.text,
            usage={"type": "duration", "seconds": round(seconds, 2)},
        )
        return heard

    # --- answering

    async def _create(self, item: schema.Item) -> None:
        texts = []
        for part in item.content:
            if part.type == "input_audio" and part.audio is not None:
                texts.append(await self._read_recording(part.audio))
            else:
                texts.append(part.text or part.transcript or "")
        entry = Entry(item.id or new_id("item"), item.role, "\n".join(filter(None, texts)))
        await self._tell_item(entry, self._conversation.add(entry))

    async def _read_recording(self, audio: str) -> str:
        ready = running(self._offered)
        samples = await self._in_thread(partial(_at_our_rate, samples_in(audio)))
        segments = await self._in_thread(partial(stretches, samples, self._offered.limits))
        found = self._offered.hearing.stream(
            self._who, lambda client: read(ready, segments, None, (), client)
        )
        async with aclosing(found):
            return " ".join([one.text async for one in found])

    async def _tell_item(self, entry: Entry, before: str | None) -> None:
        for event in ("added", "done"):
            await self._send(
                f"conversation.item.{event}", item=entry.item(), previous_item_id=before
            )

    def _respond(self, given: schema.ResponseGiven | None, doubted: str = "") -> None:
        audio = self._given.audio
        output = audio.output if audio is not None else None
        voice = output.voice if output is not None else None
        most = (given and given.max_output_tokens) or self._given.max_output_tokens
        asked = (given and given.output_modalities) or self._given.output_modalities
        wanted = Wanted(
            messages=confirmed(self._conversation.messages(self._instructions(given))),
            spoken="audio" in (asked or ["audio"]),
            most_tokens=most if isinstance(most, int) else None,
            voice=voice.get("id") if isinstance(voice, dict) else voice,
            speed=output.speed if output is not None else None,
            by_ability=not self._own_instructions(given),
            doubted=doubted,
        )
        response = Response(self._offered, self._who, self._conversation, self._send, wanted)
        self._responding = asyncio.create_task(response.run())

    async def _interrupt(self) -> None:
        """End the response that is being written, and wait until that is told."""
        if self._responding is not None and not self._responding.done():
            self._responding.cancel()
            await asyncio.wait({self._responding})

    # --- around both

    async def _send_defect(self) -> None:
        told = {"type": "server_error", "message": "this failed; the log says more"}
        await self._send("error", error=told)

    async def _send(self, kind: str, **more: Any) -> None:
        await self._send_event({"type": kind, "event_id": new_id("event"), **more})

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._offered.threads, work)


def merged(now: schema.SessionGiven, given: schema.SessionGiven) -> schema.SessionGiven:
    """`now` with everything that is set in `given`, null included."""

    def over(old: Any, new: Any) -> Any:
        if isinstance(old, dict) and isinstance(new, dict):
            return {**old, **{key: over(old.get(key), value) for key, value in new.items()}}
        return new

    changed = given.model_dump(exclude_unset=True)
    kind = changed.pop("type", None)
    found = over(now.model_dump(), changed)
    return schema.SessionGiven.model_validate(found | ({"type": kind} if kind else {}))


def _at_our_rate(samples: Float32) -> Float32:
    found: Float32 = soxr.resample(samples, RATE_HZ, SAMPLE_RATE_HZ)
    return found
