"""One response: written by the language model, and said while it is written."""

import base64
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from engines.chat import ChatMessage, Completion, Sampling
from engines.errors import AttuneError

from ...clients import Client
from ...conversation.dialogue import question
from ...speaking.clauses import ClauseCutter
from ..by_ability import by_ability
from ..context import running
from ..errors import body, refusal
from ..offered import Offered
from ..openai.chat import continued
from ..openai.sound_formats import encoded
from .conversation import Conversation, Entry, new_id
from .live_input import RATE_HZ

logger = logging.getLogger(__name__)

Send = Callable[..., Awaitable[None]]
"""Sends one event: its type, and its fields by name."""
_PIECE_BYTES = RATE_HZ // 5 * 2
"""The sound of one event: a fifth of a second."""


@dataclass(frozen=True)
class Wanted:
    """How a response is to be."""

    messages: Sequence[ChatMessage]
    """What it answers, the first of them the system's; nothing is asked of the language model where
    `doubted` has words."""
    spoken: bool
    most_tokens: int | None
    voice: object
    """The name that the client gave; another than those of voices that are ready stands for the
    usual one."""
    speed: float | None
    by_ability: bool
    """Whether what Attune can do by itself comes before the language model."""
    doubted: str = ""
    """Words of which the response asks whether they were said."""


class Response:
    """Writes, says and tells one response."""

    def __init__(
        self, offered: Offered, who: str, conversation: Conversation, send: Send, wanted: Wanted
    ) -> None:
        self._offered = offered
        self._who = who
        self._conversation = conversation
        self._send = send
        self._wanted = wanted
        self._told = Completion()
        self._entry = Entry(
            new_id("item"), "assistant", "", spoken=wanted.spoken, status="in_progress"
        )
        self._place: dict[str, Any] = {"response_id": new_id("resp"), "output_index": 0}
        self._where = {**self._place, "item_id": self._entry.id, "content_index": 0}

    async def run(self) -> None:
        """Write it to its end, or until this is cancelled, and tell how it ended."""
        response: dict[str, Any] = {
            "id": self._place["response_id"],
            "object": "realtime.response",
            "status": "in_progress",
            "output_modalities": ["audio" if self._entry.spoken else "text"],
            "output": [],
        }
        await self._send("response.created", response=response)
        problem: dict[str, Any] | None = None
        status = "cancelled"
        try:
            await self._begin(self._conversation.add(self._entry))
            await self._write()
            status = "incomplete" if self._told.finish_reason == "length" else "completed"
        except AttuneError as error:
            status, problem = "failed", body(refusal(error))["error"]
        except Exception:
            logger.exception("a response failed")
            status, problem = "failed", {"type": "server_error", "code": "defect"}
        finally:
            self._entry.status = "completed" if status == "completed" else "incomplete"
            await self._end()
            details = {"type": status, "error": problem} if problem else {"type": status}
            if status == "cancelled":
                details["reason"] = "turn_detected"
            response |= {"status": status, "status_details": details, "usage": self._usage()}
            response["output"] = [self._entry.item()]
            await self._send("response.done", response=response)

    def _usage(self) -> dict[str, int]:
        read, written = self._told.prompt_tokens, self._told.completion_tokens
        return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}

    async def _begin(self, before: str | None) -> None:
        item = self._entry.item()
        await self._send("response.output_item.added", item=item, **self._place)
        await self._send("conversation.item.added", item=item, previous_item_id=before)
        await self._send("response.content_part.added", part=self._part(), **self._where)

    async def _write(self) -> None:
        kind = "output_audio_transcript" if self._entry.spoken else "output_text"
        cutter = ClauseCutter()
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                self._entry.text += piece
                await self._send(f"response.{kind}.delta", delta=piece, **self._where)
                if self._entry.spoken:
                    await self._say(cutter.push(piece))
        if self._entry.spoken:
            await self._say(cutter.flush())

    async def _pieces(self) -> AsyncGenerator[str, None]:
        wanted = self._wanted
        if wanted.doubted:
            yield question(wanted.doubted)
            return
        own = self._offered.settings.conversation.max_reply_tokens
        sampling = Sampling(max_tokens=wanted.most_tokens or own)
        ready = running(self._offered)

        def write(client: Client) -> Generator[str, None, None]:
            said = None
            if wanted.by_ability:
                said = by_ability(ready.abilities, wanted.messages[1:], refuses=True)
            if said is None:
                yield from continued(ready, wanted.messages, sampling, [], client, self._told)
            else:
                self._told.finish_reason = "stop"
                yield said

        written = self._offered.hearing.stream(self._who, write)
        async with aclosing(written):
            async for piece in written:
                yield piece

    async def _say(self, clauses: list[str]) -> None:
        for clause in clauses:
            sound = await self._offered.speaking.one(self._who, partial(self._spoken, clause))
            for start in range(0, len(sound), _PIECE_BYTES):
                piece = base64.b64encode(sound[start : start + _PIECE_BYTES]).decode()
                await self._send("response.output_audio.delta", delta=piece, **self._where)
            self._entry.clauses.append((clause, len(sound) / 2 / RATE_HZ))

    def _spoken(self, clause: str, _client: object) -> bytes:
        name = self._offered.ready_voice(self._wanted.voice)
        said = self._offered.voice.speak(clause, name, self._wanted.speed)
        return b"".join(encoded(iter([said]), "pcm"))

    async def _end(self) -> None:
        text = self._entry.text
        if self._entry.spoken:
            await self._send("response.output_audio.done", **self._where)
            done = "response.output_audio_transcript.done"
            await self._send(done, transcript=text, **self._where)
        else:
            await self._send("response.output_text.done", text=text, **self._where)
        await self._send("response.content_part.done", part=self._part(), **self._where)
        item = self._entry.item()
        await self._send("response.output_item.done", item=item, **self._place)
        await self._send("conversation.item.done", item=item, previous_item_id=None)

    def _part(self) -> dict[str, str]:
        text = self._entry.text
        if self._entry.spoken:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}
