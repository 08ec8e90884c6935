"""A conversation with a llama.cpp model: the system prompt is computed once, turns follow, and the
oldest turns are dropped when room runs out.

Knows words as text or as soft tokens; knows nothing of audio, of projectors, or of who speaks.
"""

import codecs
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import AttuneError, TurnAbandoned
from ..interfaces import Step, unwatched
from ..spans import span
from ..types import Float32, SoftTokens
from .chat_template import split_template
from .client_chat import LlamaClientChat
from .degeneration import cycles, is_spelled_in_bytes, is_text, printable, repeats_lines
from .model import LlamaModel
from .sentence_scorer import LlamaSentenceScorer
from .sequence import LlamaSequence, common_length
from .vocabulary import Vocabulary

_Words = list[int] | Float32
"""The user's words: token ids, or [U, width] soft tokens."""

_ROWS_TOLERANCE = 0.01
"""How far logits may move, as a share of their range, when tokens are given as embedding rows:
kernels round differently."""


@dataclass(frozen=True)
class TurnTokens:
    """The tokens that a chat template puts around words and replies."""

    opening: list[int]
    """From the beginning of the conversation to the first user's words."""
    closing: list[int]
    """From the user's words to the reply."""
    between: list[int]
    """From the end of a reply, which the first of them marks, to the next user's words."""

    @property
    def count(self) -> int:
        return len(self.opening) + len(self.closing) + len(self.between)


@dataclass(frozen=True)
class _Turn:
    words: _Words
    reply: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    """The pieces of the reply."""


@dataclass(frozen=True)
class _Suspended:
    turns: tuple[_Turn, ...]
    left_turn: bool
    """Whether the last reply left a turn behind."""
    adapter: int
    """Which adapter speech passed through; other soft tokens mean something else to it."""


class LlamaCppLanguageModel:
    """One conversation, decoded greedily and streamed. It serves one caller at a time: a call
    during a reply raises RuntimeError.

    Between calls the sequence ends exactly where the next user's words will stand, so a reply costs
    only its words and the closing.
    """

    def __init__(
        self,
        model: Path | LlamaModel,
        vocabulary: Vocabulary,
        system_prompt: str,
        context_tokens: int = 2048,
        threads: int = 2,
        adapter: Path | None = None,
    ) -> None:
        """Open `model`, or the GGUF file of that path, and compute the system prompt. `vocabulary`
        must be of the same file. The model is closed with this object.

        Raises AttuneError where the file or the adapter does not load or fit, or the system prompt
        is too long.
        """
        self._vocabulary = vocabulary
        self._threads = threads
        self._system_prompt, self._facts = system_prompt, ""
        self._turns: list[_Turn] = []
        self._adapters = 0
        """How often the adapter was exchanged."""
        self._last_start: int | None = None
        """Where the last turn begins in the sequence; None where it left none behind."""
        self._caller = threading.Lock()
        self._scorer: LlamaSentenceScorer | None = None
        self._client_chat: LlamaClientChat | None = None
        self._sequence = LlamaSequence(model, context_tokens, threads, adapter)
        try:
            if (self._sequence.model.vocabulary_size, self._sequence.model.width) != (
                vocabulary.size,
                vocabulary.width,
            ):
                raise AttuneError(
                    f"{self.model.path} does not belong to the vocabulary that it was opened"
                    " with; use one file for both"
                )
            self._around = self._template_tokens(system_prompt)
            if self._cost_tokens(_Turn([])) >= context_tokens - len(self._around.opening):
                raise AttuneError(
                    f"{len(self._around.opening)} tokens of system prompt leave no room in a"
                    f" context of {context_tokens}"
                )
            self._sequence.append_tokens(self._around.opening, want_logits=False)
            self._closing_rows = self._rows_in_place_of(self._around.closing)
        except AttuneError:
            self.close()
            raise

    def reply(
        self,
        words: str | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
        provisional: bool = False,
    ) -> Generator[str, None, None]:
        """Stream the reply to `words` as pieces of printable text, the first of them before a
        second token is decoded.

        Closing the iterator stops the decode; the turn, as far as it was decoded, stays. `step` is
        called before each token and each batch of words; an exception that it raises ends the reply
        as closing does. Nothing happens before the first `next`. A reply that falls into a loop is
        ended. A turn that is a bad example for the next ones is forgotten: where the reply is
        empty, loops or is no text, and where the words are empty or in a writing that the model
        cannot read.

        A `provisional` reply drops no older turn: it raises AttuneError where its words and
        `max_tokens` would need their room.

        Control tokens in a text are plain text. Raises AttuneError at once for words that are
        empty, do not fit the context with `max_tokens`, or are no soft tokens of this model; and
        while streaming where llama.cpp fails, in which case this turn is forgotten.
        """
        if max_tokens < 1:
            raise ValueError("a reply has at least one token")
        checked = self._checked(words, max_tokens)
        return self._stream(checked, max_tokens, step, provisional)

    def withdraw(self) -> None:
        """Forget the last turn, as if it had never been. Does nothing where the last reply left no
        turn behind, or it was withdrawn already."""
        with self._alone():
            start, self._last_start = self._last_start, None
            if start is not None:
                self._sequence.truncate(start)
                self._turns.pop()

    @property
    def turn_tokens(self) -> TurnTokens:
        """The tokens that the chat template puts around words and replies."""
        return self._around

    @property
    def model(self) -> LlamaModel:
        """The weights of the language model."""
        return self._sequence.model

    def suspend(self) -> object:
        """What `resume` needs to go on with this conversation later, after others."""
        return _Suspended(tuple(self._turns), self._last_start is not None, self._adapters)

    def resume(self, suspended: object, step: Step = unwatched) -> None:
        """Go on with a conversation that `suspend` of this object gave. Its oldest turns are left
        where they take more than half of the context, and all where the adapter is another by now.
        `step` is called before each batch of words. Where it raises an exception, or the decode
        fails with AttuneError, no turn is left."""
        assert isinstance(suspended, _Suspended)
        with self._alone():
            turns = suspended.turns if suspended.adapter == self._adapters else ()
            start = self._compute_anew(turns, self._sequence.capacity_tokens // 2, step)
            self._last_start = start if suspended.left_turn else None

    def reset(self, facts: str = "") -> None:
        """Forget the conversation and keep the system prompt, which ends with `facts` from now on.
        Other facts than before take the time of what is other in them, and of all that follows.
        Raises AttuneError, and changes nothing, where they do not fit."""
        with self._alone():
            if facts == self._facts:
                self._forget_all()
                return
            around = self._template_tokens(f"{self._system_prompt} {facts}".strip())
            if len(around.opening) + self._cost_tokens(_Turn([])) >= self._sequence.capacity_tokens:
                raise AttuneError(
                    f"{len(around.opening)} tokens of system prompt leave no room in a context of"
                    f" {self._sequence.capacity_tokens}"
                )
            self._turns.clear()
            self._last_start = None
            kept = common_length(self._around.opening, around.opening)
            self._sequence.truncate(kept)
            self._around, self._facts = around, facts
            self._sequence.append_tokens(around.opening[kept:], want_logits=False)

    def set_adapter(self, adapter: Path | None) -> None:
        """Let speech pass through `adapter` from now on; the conversation is forgotten.

        Raises AttuneError, and changes nothing, where the adapter does not fit the model.
        """
        with self._alone():
            self._sequence.load_adapter(adapter)
            self._adapters += 1
            self._turns.clear()
            self._last_start = None
            try:
                self._sequence.append_tokens(self._around.opening, want_logits=False)
            except AttuneError:
                self._sequence.close()
                raise

    def first_logits(self, words: str | SoftTokens) -> Float32:
        """The logits [vocabulary size] of the first token of the reply to `words`, which do not
        become a turn.

        Raises AttuneError as `reply` does. The oldest turns are dropped where the words need their
        room.
        """
        checked = self._checked(words, 1)
        with self._alone():
            self._make_room(self._cost_tokens(_Turn(checked)))
            start = self._sequence.length
            try:
                self._append_words(checked)
                return self._sequence.logits().copy()
            finally:
                self._sequence.truncate(start)

    @property
    def scorer(self) -> LlamaSentenceScorer:
        """A scorer of sentences that shares this model's weights and is closed with it; opened at
        its first use. Raises AttuneError where there is no memory for it."""
        if self._scorer is None:
            self._scorer = LlamaSentenceScorer(self.model, self._vocabulary, self._threads)
        return self._scorer

    @property
    def client_chat(self) -> LlamaClientChat:
        """What continues conversations that callers bring whole. It shares this model's weights and
        is closed with it; opened at its first use. Raises AttuneError where there is no memory for
        it."""
        if self._client_chat is None:
            self._client_chat = LlamaClientChat(
                self.model, self._vocabulary, self._sequence.capacity_tokens, self._threads
            )
        return self._client_chat

    def close(self) -> None:
        """Free the model. Further calls of this do nothing; any other call then raises
        RuntimeError."""
        if not self._sequence.closed:
            with self._alone():
                if self._scorer is not None:
                    self._scorer.close()
                if self._client_chat is not None:
                    self._client_chat.close()
                self._sequence.close()

    def _template_tokens(self, system_prompt: str) -> TurnTokens:
        vocabulary = self._vocabulary
        variables = vocabulary.ends_of_text()
        template = split_template(self._sequence.model.chat_template, system_prompt, variables)
        return TurnTokens(
            opening=vocabulary.begun(vocabulary.tokenize(template.opening, special=True)),
            closing=vocabulary.tokenize(template.closing, special=True),
            between=vocabulary.tokenize(template.between, special=True),
        )

    def _rows_in_place_of(self, tokens: list[int]) -> Float32 | None:
        """The embedding rows of `tokens`; None where this model does not take rows for tokens,
        because it scales them first."""
        rows = self._vocabulary.rows(tokens)
        self._sequence.append_tokens(tokens)
        expected = self._sequence.logits().copy()
        self._forget_all()
        self._sequence.append_vectors(rows)
        difference = np.abs(self._sequence.logits() - expected).max()
        self._forget_all()
        return rows if difference <= _ROWS_TOLERANCE * np.ptp(expected) else None

    def _checked(self, words: str | SoftTokens, max_tokens: int) -> _Words:
        checked: _Words
        if isinstance(words, str):
            checked = self._vocabulary.tokenize(words.strip())
        else:
            if self._closing_rows is None:
                raise AttuneError(
                    "this language model scales its embeddings and takes no soft tokens; use the"
                    " cascade"
                )
            checked = words.vectors.astype(np.float32)
            if (
                checked.ndim != 2
                or checked.shape[1] != self._sequence.model.width
                or not np.isfinite(checked).all()
            ):
                raise AttuneError(
                    f"soft tokens of shape {checked.shape} are not finite vectors of the language"
                    f" model's width {self._sequence.model.width}; roll back to another generation"
                )
        if not len(checked):
            raise AttuneError("there are no words to reply to; say something")
        if (
            len(self._around.opening) + self._cost_tokens(_Turn(checked)) + max_tokens
            > self._sequence.capacity_tokens
        ):
            raise AttuneError(
                f"{len(checked)} tokens of words and {max_tokens} of reply do not fit a context of "
                f"{self._sequence.capacity_tokens} tokens; say less at a time"
            )
        return checked

    def _cost_tokens(self, turn: _Turn) -> int:
        return (
            len(turn.words)
            + len(self._around.closing)
            + len(turn.reply)
            + len(self._around.between)
        )

    def _stream(
        self, words: _Words, max_tokens: int, step: Callable[[], None], provisional: bool
    ) -> Generator[str, None, None]:
        turn, whole = _Turn(words), False
        needed_tokens = self._cost_tokens(turn) + max_tokens
        with self._alone():
            self._last_start = None
            if provisional and not self._has_room(needed_tokens):
                raise AttuneError("older turns would have to be forgotten for this reply")
            self._make_room(needed_tokens, step)
            start = self._sequence.length
            try:
                yield from self._decode(turn, max_tokens, step)
                whole = True
            except AttuneError:
                self._sequence.truncate(start)
                raise
            finally:
                self._settle(turn, start, is_example=self._is_example(turn, whole=whole))
            # Room for another turn like this one is made now, when no token is waited for.
            if not provisional:
                self._make_room(needed_tokens, step)

    def _decode(
        self, turn: _Turn, max_tokens: int, step: Callable[[], None]
    ) -> Generator[str, None, None]:
        """Append the words and decode greedily into `turn.reply`, whose last token is not in the
        sequence yet."""
        with span("prefill"):
            self._append_words(turn.words, step)
        characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while len(turn.reply) < max_tokens and not _in_loop(turn):
            step()
            if turn.reply:
                self._sequence.append_tokens(turn.reply[-1:])
            token = int(self._sequence.logits().argmax())
            if self._vocabulary.ends_reply(token):
                return
            turn.reply.append(token)
            if text := printable(characters.decode(self._vocabulary.piece(token))):
                turn.text.append(text)
                yield text

    def _is_example(self, turn: _Turn, *, whole: bool) -> bool:
        """Whether `turn` may stay as an example for the next replies; `whole` says that it was not
        interrupted, since an interrupted reply may have said little so far."""
        if not turn.reply or _in_loop(turn) or (whole and not is_text("".join(turn.text))):
            return False
        words = (
            [self._vocabulary.piece(token) for token in turn.words]
            if isinstance(turn.words, list)
            else None
        )
        reply = [self._vocabulary.piece(token) for token in turn.reply]
        readable = words is None or (
            is_text(b"".join(words).decode(errors="replace")) and not is_spelled_in_bytes(words)
        )
        return readable and not is_spelled_in_bytes(reply)

    def _append_words(self, words: _Words, step: Step = unwatched) -> None:
        """Append the user's words and the closing, and compute the logits of the reply's first
        token."""
        if isinstance(words, list):
            self._sequence.append_tokens(words + self._around.closing, step=step)
        elif self._sequence.has_adapter:
            with self._sequence.adapter_on():
                self._sequence.append_vectors(words, want_logits=False, step=step)
            self._sequence.append_tokens(self._around.closing)
        else:
            assert self._closing_rows is not None  # soft tokens are refused without them
            rows = np.concatenate([words, self._closing_rows])  # one batch is quicker than two
            self._sequence.append_vectors(rows, step=step)

    def _settle(self, turn: _Turn, start: int, *, is_example: bool) -> None:
        """Bring the sequence to where the next user's words stand, after a reply that ended in any
        way; the turn stays in it if it `is_example`."""
        begun_tokens = self._sequence.length - start - len(turn.words) - len(self._around.closing)
        if begun_tokens < 0 or not is_example:
            self._sequence.truncate(start)
            return
        try:
            self._sequence.append_tokens(
                (turn.reply + self._around.between)[begun_tokens:], want_logits=False
            )
        except AttuneError:
            self._sequence.truncate(start)
            raise
        self._turns.append(turn)
        self._last_start = start

    def _has_room(self, needed_tokens: int) -> bool:
        return self._sequence.length + needed_tokens <= self._sequence.capacity_tokens

    def _make_room(self, needed_tokens: int, step: Step = unwatched) -> None:
        """Drop the oldest turns where `needed_tokens` do not fit, so many that half of the context
        is free and this is rare.

        The kept turns are computed anew, as if the conversation had never had the others.
        """
        if self._has_room(needed_tokens):
            return
        capacity = self._sequence.capacity_tokens
        left_turn = self._last_start is not None
        most_tokens = min(capacity // 2, capacity - needed_tokens)
        start = self._compute_anew(self._turns, most_tokens, step)
        self._last_start = start if left_turn else None

    def _compute_anew(
        self, turns: Sequence[_Turn], most_tokens: int, step: Step = unwatched
    ) -> int | None:
        """Compute the last of `turns`, as many as fit in `most_tokens` with the system prompt, as
        if the conversation never had others. Returns where the last of them begins; None where
        none is left."""
        kept, start = list(turns), None
        while kept and len(self._around.opening) + sum(map(self._cost_tokens, kept)) > most_tokens:
            kept.pop(0)
        self._forget_all()
        try:
            for turn in kept:
                start = self._sequence.length
                self._append_words(turn.words, step)
                self._sequence.append_tokens(
                    turn.reply + self._around.between, want_logits=False, step=step
                )
                self._turns.append(turn)
        except (AttuneError, TurnAbandoned):
            self._forget_all()
            raise
        return start

    def _forget_all(self) -> None:
        self._turns.clear()
        self._last_start = None
        self._sequence.truncate(len(self._around.opening))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._caller.acquire(blocking=False):
            raise RuntimeError(
                "the language model is replying to another caller; finish or close that reply first"
            )
        try:
            if self._sequence.closed:
                raise RuntimeError("the language model is closed")
            yield
        finally:
            self._caller.release()


def _in_loop(turn: _Turn) -> bool:
    """Whether the reply, as far as it was decoded, ends in a loop."""
    ends_line = bool(turn.text) and "\n" in turn.text[-1]
    return cycles(turn.reply) or (ends_line and repeats_lines("".join(turn.text)))
