"""Continues conversations that callers bring whole, message by message, in a context of its own
beside that of the user's conversation.

What two conversations have in common at their beginnings is computed once, as long as no other
comes between.
"""

import codecs
import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..chat import ChatMessage, Completion, Role, Sampling, TooLongError
from ..interfaces import Step, unwatched
from ..types import Float32
from .chat_template import template_parts
from .degeneration import cycles, printable, repeats_lines
from .grammar import Grammar
from .model import LlamaModel
from .sequence import LlamaSequence, common_length
from .tool_grammar import tool_grammar
from .vocabulary import Vocabulary

_REMEMBERED_TEMPLATES = 64
_REMEMBERED_GRAMMARS = 8
_LEAST_TEMPERATURE = 1e-3
"""Below this the likeliest token is drawn in any case, and likelihoods overflow."""
LEAST_REPLY_TOKENS = 128
"""Room that a reply has in any case, where a longer one is wanted."""


class LlamaClientChat:
    """One context for all callers. It serves one of them at a time: a call during a reply raises
    RuntimeError."""

    def __init__(
        self, model: LlamaModel, vocabulary: Vocabulary, context_tokens: int, threads: int
    ) -> None:
        """Open a context of `model`, without computing anything. Raises AttuneError where there is
        no memory for it."""
        self._vocabulary = vocabulary
        self._sequence = LlamaSequence(model, context_tokens, threads, None)
        self._tokens: list[int] = []
        """What is in the sequence."""
        self._caller = threading.Lock()
        self._parts = lru_cache(_REMEMBERED_TEMPLATES)(self._render)
        self._grammars = lru_cache(_REMEMBERED_GRAMMARS)(self._tool_grammar)

    def complete(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        tools: Sequence[Mapping[str, Any]] = (),
        step: Step = unwatched,
        told: Completion | None = None,
        *,
        must_call: bool = False,
    ) -> Generator[str, None, None]:
        """Stream the reply to `messages` as pieces of printable text, and tell in `told` how many
        tokens there are and why the reply ended.

        The oldest messages but the system's are left out where all do not fit. `tools` are
        described to the model if its chat template has a place for them, and the reply is then a
        text or calls that their schemas allow (`tool_calls.py` finds them), unless
        `sampling.grammar` wants something else; with `must_call` it is calls. Control tokens in a
        message are plain text. `step` is called before each bounded step of the work; an exception
        that it raises ends the reply, as closing does. A reply that falls into a loop is ended.

        Raises TooLongError where the system's and the last message do not fit with a reply of
        LEAST_REPLY_TOKENS, or of `sampling.max_tokens` if these are fewer, and AttuneError where
        the template refuses the messages or llama.cpp fails.
        """
        if not self._caller.acquire(blocking=False):
            raise RuntimeError("another conversation is being continued; finish that reply first")
        try:
            told = Completion() if told is None else told
            least = min(sampling.max_tokens, LEAST_REPLY_TOKENS)
            described = json.dumps(list(tools)) if tools and self.knows_tools else ""
            prompt = self._prompt(messages, least, described)
            told.prompt_tokens, told.completion_tokens, told.finish_reason = len(prompt), 0, ""
            self._read(prompt, step)
            room = self._sequence.capacity_tokens - len(prompt)
            if described and not sampling.grammar:
                sampling = replace(sampling, grammar=self._grammars(described, must_call))
            yield from self._write(sampling, min(sampling.max_tokens, room), step, told)
        finally:
            self._caller.release()

    @property
    def knows_tools(self) -> bool:
        """Whether the model's chat template has a place for tools."""
        return "tools" in self._sequence.model.chat_template

    def close(self) -> None:
        """Free the context. Further calls do nothing."""
        self._sequence.free()

    def _prompt(self, messages: Sequence[ChatMessage], max_tokens: int, tools: str) -> list[int]:
        room = self._sequence.capacity_tokens - max_tokens
        head = [one for one in messages[:1] if one.role == "system"]
        rest = list(messages[len(head) :])
        while True:
            pieces = self._pieces([*head, *rest], tools)
            over = sum(map(len, pieces)) - room
            if over <= 0:
                return self._vocabulary.begun([token for piece in pieces for token in piece])
            later = _start_without(rest, pieces[1 + len(head) :], over)
            if later is None:
                raise TooLongError(
                    f"{over + room} tokens of messages and {max_tokens} of reply do not fit a"
                    f" context of {self._sequence.capacity_tokens} tokens; send less, or raise"
                    " llm.context_tokens"
                )
            rest = rest[later:]

    def _pieces(self, messages: Sequence[ChatMessage], tools: str) -> list[list[int]]:
        """The tokens before the first message, and those of each with what follows it."""
        around = self._parts(tuple(one.role for one in messages), tools)
        before, *after = (self._vocabulary.tokenize(part, special=True) for part in around)
        words = (self._vocabulary.tokenize(message.content.strip()) for message in messages)
        return [before, *([*said, *then] for said, then in zip(words, after, strict=True))]

    def _render(self, roles: tuple[Role, ...], tools: str) -> tuple[str, ...]:
        variables: dict[str, Any] = {"tools": json.loads(tools)} if tools else {}
        return template_parts(
            self._sequence.model.chat_template,
            roles,
            self._vocabulary.ends_of_text() | variables,
        )

    def _tool_grammar(self, tools: str, must_call: bool) -> str:
        template = self._sequence.model.chat_template
        return tool_grammar(json.loads(tools), template, must_call=must_call)

    def _read(self, prompt: list[int], step: Step) -> None:
        """Bring `prompt` into the sequence, whose last token is decoded anew in any case."""
        common = common_length(self._tokens, prompt[:-1])
        self._tokens = self._tokens[:common]
        self._sequence.truncate(common)
        missing = prompt[common:]
        # Where this ends early, what it left in the sequence is cut off before the next one; the
        # model may have been closed meanwhile.
        self._sequence.append_tokens(missing, step=step)
        self._tokens += missing

    def _write(
        self, sampling: Sampling, most_tokens: int, step: Step, told: Completion
    ) -> Generator[str, None, None]:
        grammar = Grammar(self._vocabulary, sampling.grammar) if sampling.grammar else None
        with closing(grammar) if grammar is not None else nullcontext():
            yield from self._write_by(grammar, sampling, most_tokens, step, told)

    def _write_by(
        self,
        grammar: Grammar | None,
        sampling: Sampling,
        most_tokens: int,
        step: Step,
        told: Completion,
    ) -> Generator[str, None, None]:
        generator = np.random.default_rng(sampling.seed)
        characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        reply: list[int] = []
        held = _Held(sampling.stop)
        while True:
            step()
            if reply:
                self._sequence.append_tokens(reply[-1:])
                self._tokens.append(reply[-1])
            logits = self._sequence.logits()
            token = _drawn(logits, sampling, generator)
            if grammar is not None:
                kept = grammar.kept_to(logits, token)
                token = token if kept is logits else _drawn(kept, sampling, generator)
            if self._vocabulary.ends_reply(token):
                break
            if grammar is not None:
                grammar.accept(token)
            reply.append(token)
            told.completion_tokens = len(reply)
            text = printable(characters.decode(self._vocabulary.piece(token)))
            if piece := held.push(text):
                yield piece
            if held.stopped or cycles(reply) or ("\n" in text and repeats_lines(held.text)):
                break
            if len(reply) == most_tokens:
                told.finish_reason = "length"
                break
        if rest := held.rest():
            yield rest
        told.finish_reason = told.finish_reason or "stop"


def _start_without(
    messages: Sequence[ChatMessage], pieces: Sequence[Sequence[int]], over: int
) -> int | None:
    """The first message of a user's from which on `over` tokens less are left, else the last one of
    a user's; None if that is the first message already."""
    starts = [number for number, one in enumerate(messages) if one.role == "user" and number]
    for number in starts:
        if sum(map(len, pieces[:number])) >= over:
            return number
    return starts[-1] if starts else None


@dataclass
class _Held:
    """Holds back the end of a text that may be the beginning of a stop."""

    stops: tuple[str, ...]
    text: str = ""
    """Everything so far, without a stop and what follows it."""
    stopped: bool = False
    _given: int = field(default=0, repr=False)
    """The characters that were given out."""

    def push(self, piece: str) -> str:
        """Take the next piece; returns what can be given out."""
        self.text += piece
        places = [self.text.find(stop) for stop in self.stops]
        if found := [place for place in places if place >= 0]:
            self.text, self.stopped = self.text[: min(found)], True
        ends = len(self.text) - (0 if self.stopped else self._begun())
        out, self._given = self.text[self._given : ends], max(self._given, ends)
        return out

    def rest(self) -> str:
        """What was held back, once no more comes."""
        out, self._given = self.text[self._given :], len(self.text)
        return out

    def _begun(self) -> int:
        """How many characters at the end may be the beginning of a stop."""
        return max(
            (
                count
                for stop in self.stops
                for count in range(1, len(stop))
                if self.text.endswith(stop[:count])
            ),
            default=0,
        )


def _drawn(logits: Float32, sampling: Sampling, generator: np.random.Generator) -> int:
    if sampling.temperature < _LEAST_TEMPERATURE:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / sampling.temperature
    likelihood = np.exp(scaled - scaled.max())
    likelihood /= likelihood.sum()
    if sampling.top_p < 1:
        order = np.argsort(-likelihood)
        # The first whose predecessors have less than top_p together; the likeliest in any case.
        kept = order[np.cumsum(likelihood[order]) - likelihood[order] < sampling.top_p]
        some = np.zeros_like(likelihood)
        some[kept] = likelihood[kept]
        likelihood = some / some.sum()
    return int(generator.choice(len(likelihood), p=likelihood))
