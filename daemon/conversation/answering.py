"""Answers one turn: hears what was said, decides what follows, replies, and stores the turn.

Knows no queue and no client; `conversation/dialogue.py` has the rule.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from engines.errors import AttuneError, TurnAbandoned
from engines.interfaces import LanguageModel, Step, unwatched
from engines.spans import Span, recording
from engines.types import SoftTokens, Transcript

from ..abilities.abilities import Abilities, Found
from ..abilities.ability import Answer as AbilityAnswer
from ..abilities.ability import LastTurn
from ..clocks import Clocks
from ..config.settings import ConversationSettings
from ..events.turns import (
    HandedOver,
    Heard,
    ReplyPiece,
    SpeechHeard,
    TurnAnswered,
    TurnEvent,
    TurnSpan,
    TurnWithdrawn,
)
from ..serving.lease import ModelLease
from ..store.label_check import label_fault
from ..store.records import Turn
from ..store.store import Store
from .dialogue import (
    MODE_TOLD,
    QUESTION_STANDS_SECONDS,
    SAY_AGAIN,
    Answer,
    AskAgain,
    AskBack,
    Doubted,
    FallSilent,
    Mode,
    Move,
    Repeat,
    SayNothing,
    Switch,
    WriteDown,
    answer_to_question,
    decide,
    question,
)
from .memory import Memories, Memory
from .tool_use import NAME as TOOLS
from .tool_use import Tools, ToolUse
from .turn_log import KeptTurn, QueuedTurn, TurnLog
from .unanswered import Unanswered, WhatWasHeard

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Reply:
    text: str = ""
    first_piece_at: float | None = None
    """When the first piece came, in seconds of `time.perf_counter`; None if there is no reply."""
    cut_short: bool = False


class Answering:
    """Answers turns, one after another in one thread. Remembers each conversation's last turns."""

    def __init__(
        self,
        store: Store,
        settings: ConversationSettings,
        log: TurnLog,
        clocks: Clocks,
        publish: Callable[[QueuedTurn, TurnEvent], None],
        go_on: Callable[[QueuedTurn], None],
        abilities: Abilities | None = None,
        tools: Tools | None = None,
    ) -> None:
        """Call `go_on` between the bounded steps of a turn; it raises TurnAbandoned if the turn is
        to end. Call `publish` with each event of a turn. Without `abilities` the language model
        answers everything; `tools` are those that it may call."""
        self._store = store
        self._settings = settings
        self._log = log
        self._clocks = clocks
        self._publish = publish
        self._go_on = go_on
        self._abilities = abilities or Abilities([], lambda: datetime.now(UTC))
        self._facts = self._abilities.facts if abilities is not None else str
        self.interrupted = threading.Event()
        """Set, from any thread, to end the current reply."""
        self._tools = ToolUse(
            tools,
            publish,
            go_on,
            settings.system_prompt,
            settings.max_reply_tokens,
            self.interrupted.is_set,
        )
        self._unanswered = Unanswered()
        self._memories = Memories(clocks.elapsed(), settings.mode)
        self._memory = self._memories.device
        """The conversation of this turn."""
        self._forgets = threading.Event()
        """Set once nothing of what was said may be remembered."""
        self._spans: Sequence[Span] = ()
        """What took time in this turn so far."""
        self._model: LanguageModel | None = None
        """The language model that knows the conversations; None if none does."""
        self._in_model: Memory | None = None
        """The conversation that it is in; None if it is in none."""

    @property
    def mode(self) -> Mode:
        """What is done with what is heard at the device."""
        return self._memories.device.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._memories.device.mode = mode

    def forget_all(self) -> None:
        """Remember nothing of any conversation from the next turn on. May be called from any
        thread."""
        self._forgets.set()

    def turn_ended(self, turn: QueuedTurn) -> None:
        """Note that `turn` ended now, answered or not."""
        now = self._clocks.elapsed()
        self._memories.of(turn.conversation, now, self._log.served()).ended_at = now

    def answer(self, turn: QueuedTurn, models: ModelLease) -> TurnAnswered:
        """Answer `turn` with the leased models and store it. Raises TurnAbandoned if `go_on` raises
        it before the first piece of the reply, and AttuneError if the models fail.

        Of a turn that was begun early, nothing stays that could be seen later until it is kept;
        once it is dropped, TurnAbandoned is raised.
        """
        with recording() as self._spans:
            return self._answer(turn, models)

    def _answer(self, turn: QueuedTurn, models: ModelLease) -> TurnAnswered:
        self._go_on(turn)
        self._turn_to(turn, models)
        memory = self._memory
        if turn.replaces is not None:
            self._take_back(turn, turn.replaces, models)
        quiet_seconds = self._clocks.elapsed() - memory.ended_at
        self.interrupted.clear()
        self._tools.begin(turn, models, memory.exchanges)
        found = self._heard_before(turn, models) or self._hear(turn, models)
        heard, words = found.heard, found.words
        if isinstance(heard, Transcript):
            self._publish(
                turn,
                Heard(
                    turn=turn.number,
                    source=turn.source,
                    text=heard.text,
                    doubtful=heard.doubtful,
                ),
            )
        move = decide(
            heard,
            words,
            asks_back=models.loaded.asks_back,
            doubted=memory.doubted,
            quiet_seconds=quiet_seconds,
            mode=memory.mode,
            ringing=self._abilities.alarms.ringing,
            before=self._before(),
            typed=found.route == "text",
        )
        if isinstance(move, Answer) and move.corrects:
            self._kept(turn)
            self._undo_act()  # what was done was not asked for
        found_ability = self._ability(turn, models, move, found, quiet_seconds)
        by_model, undo, asked_by, instead = False, None, None, None
        if found_ability is None and isinstance(move, Answer):
            said = _text_of(move.heard, words)
            instead = self._abilities.instead(said)
            if instead is None:
                found_ability = self._tools.find(said, self._facts())
        match move:
            case Answer() | AskBack() if found_ability is not None:
                reply = self._act(turn, found_ability)
                undo = found_ability.answer.undo
                if found_ability.answer.completes or found_ability.answer.if_yes is not None:
                    asked_by = found_ability
            case Answer() if instead is not None:
                reply = self._say(turn, instead)
            case Answer(heard=meant):
                by_model = True
                reply = self._reply(turn, models, meant)
            case AskBack(words=asked):
                reply = self._say(turn, question(asked))
            case AskAgain():
                reply = self._say(turn, SAY_AGAIN)
            case Repeat(words=repeated):
                reply = self._say(turn, repeated)
            case Switch(mode=wanted):
                reply = self._say(turn, MODE_TOLD[wanted])
            case FallSilent():
                self._kept(turn)
                self._abilities.alarms.end_ringing()
                reply = _Reply()
            case SayNothing() | WriteDown():
                reply = _Reply()
        try:
            self._kept(turn)
        except TurnAbandoned:
            if by_model:
                models.withdraw()
            raise
        handed_over = found_ability is not None and bool(found_ability.answer.intents)
        silent = handed_over or isinstance(move, SayNothing | FallSilent)
        if memory.mode == "assistant" and not silent:
            reply = self._with_missed(turn, reply)
            if asked_by is None and isinstance(move, Answer):
                reply, asked_by = self._with_question(turn, reply)
        if isinstance(move, Answer | Repeat) and move.confirmed is not None:
            self._confirm(move.confirmed)
        if isinstance(move, Switch):
            memory.mode = move.mode
        memory.last_by_model, memory.undo, memory.asked = by_model, undo, asked_by
        asked_back = isinstance(move, AskBack) and found_ability is None
        memory.last = self._ended(turn, found, reply, asked_back, found_ability)
        self._tools.end(memory.last.turn)
        memory.doubted = None
        if asked_back and isinstance(move, AskBack):
            about = memory.last if move.corrects is None else move.corrects
            memory.doubted = Doubted(about.utterance, move.words)
        return memory.last

    def hear(self, turn: QueuedTurn, models: ModelLease) -> SpeechHeard:
        """Hear `turn` with the leased models, and keep its audio, for a client that asks for the
        answer later. Raises TurnAbandoned if `go_on` raises it, and AttuneError if the models
        fail."""
        self._go_on(turn)
        found = self._hear(turn, models)
        heard, words = found.heard, found.words
        utterance = self._log.keep_utterance(turn) if words.strip() else None
        self._unanswered.keep(replace(found, utterance=utterance, at=self._clocks.elapsed()))
        return SpeechHeard(
            turn=turn.number,
            source=turn.source,
            text=words,
            utterance=utterance,
            confidence=heard.confidence,
            sure=heard.sure,
            doubtful=heard.doubtful if isinstance(heard, Transcript) else (),
        )

    def _hear(self, turn: QueuedTurn, models: ModelLease) -> WhatWasHeard:
        if isinstance(turn.words, str):
            typed = Transcript(turn.words)
            return WhatWasHeard(typed, models.words_of(typed), "text")
        heard = models.hear(turn.words, partial(self._go_on, turn), turn.expected)
        words = models.words_of(heard)
        if isinstance(heard, SoftTokens):
            return WhatWasHeard(heard, words, models.loaded.route.name, models.loaded.generation)
        return WhatWasHeard(heard, words, "cascade")

    def _heard_before(self, turn: QueuedTurn, models: ModelLease) -> WhatWasHeard | None:
        """The utterance whose text a client brings back; None if it brings another text. Soft
        tokens are for one generation: where another serves by now, their text is left."""
        if not turn.heard_before or not isinstance(turn.words, str):
            return None
        found = self._unanswered.take(turn.words, self._clocks.elapsed())
        if found is None or isinstance(found.heard, Transcript):
            return found
        if (found.route, found.generation) == (models.loaded.route.name, models.loaded.generation):
            return found
        heard, words = found.heard, found.words
        text = Transcript(words, confidence=heard.confidence, sure=heard.sure)
        return replace(found, heard=text)

    def _ended(
        self,
        turn: QueuedTurn,
        found: WhatWasHeard,
        reply: _Reply,
        asked_back: bool,
        by: Found | None,
    ) -> TurnAnswered:
        """Store the turn, and return the event that tells how it went."""
        heard = found.heard
        done = Turn(
            utterance=found.utterance,
            route=found.route,
            heard=found.words,
            reply=reply.text,
            first_token_ms=_milliseconds(turn.ended_at, reply.first_piece_at),
            reply_ms=_milliseconds(turn.ended_at, time.perf_counter()) or 0.0,
            generation=found.generation,
            created_at=self._clocks.wall(),
            sure=heard.sure if heard.confidence is not None else None,
        )
        kept = self._log.keep(turn, done) if by is None or by.answer.keeps_turn else KeptTurn()
        return TurnAnswered(
            turn=turn.told_number,
            source=turn.source,
            id=kept.id,
            utterance=kept.utterance,
            route=done.route,
            heard=done.heard,
            reply=done.reply,
            first_token_ms=done.first_token_ms,
            reply_ms=done.reply_ms,
            generation=done.generation,
            interrupted=reply.cut_short,
            confidence=heard.confidence,
            sure=heard.sure,
            asked_back=asked_back,
            mode=self._memory.mode,
            ability=by.ability if by is not None else None,
            intents=tuple(
                HandedOver(name=one.name, slots=dict(one.slots)) for one in by.answer.intents
            )
            if by is not None
            else (),
            spans=tuple(
                TurnSpan(
                    name=one.name,
                    began_ms=1000 * (one.began_at - turn.ended_at),
                    ended_ms=1000 * (one.ended_at - turn.ended_at),
                )
                for one in self._spans
            ),
            warning=kept.warning,
        )

    def _take_back(self, turn: QueuedTurn, number: int, models: ModelLease) -> None:
        """Undo the turn before `turn`, if it has that number and was answered."""
        memory = self._memory
        last, memory.last = memory.last, None
        if last is None or last.turn != number:
            return
        if memory.last_by_model:
            self._enter(models)
            models.withdraw()
        if last.ability != TOOLS:  # its calls were made, and are not to be made again
            self._tools.forget_turn(last.turn)
        self._undo_act()
        memory.doubted = None
        self._log.take_back(last.id, last.utterance)
        self._publish(turn, TurnWithdrawn(turn=number, source=last.source))

    def _before(self) -> Doubted | None:
        """What was heard in the last turn, which was spoken; None if there is none."""
        last = self._memory.last
        return None if last is None or last.route == "text" else Doubted(last.utterance, last.heard)

    def _confirm(self, doubted: Doubted) -> None:
        """Store the words that the user confirmed as a label, like any correction, if they can be
        what was said."""
        try:
            stored = self._store.utterance(doubted.utterance) if doubted.utterance else None
            if not self._log.may_keep():
                return
            if stored is not None and label_fault(doubted.words, stored.seconds) is None:
                self._store.add_label(stored.id, doubted.words, "corrected")
        except AttuneError as error:
            logger.error("the words that the user confirmed could not be stored: %s", error)

    def _ability(
        self,
        turn: QueuedTurn,
        models: ModelLease,
        move: Move,
        found: WhatWasHeard,
        quiet_seconds: float,
    ) -> Found | None:
        """The answer of an ability to what was heard; None if none understands it."""
        if not isinstance(move, Answer | AskBack) or self._memory.mode != "assistant":
            return None
        if isinstance(move, AskBack) and move.corrects is not None:
            return None  # what was misheard once is done once it is certain
        texts = [found.words, *found.heard.others]
        if isinstance(move, Answer):
            texts = [_text_of(move.heard, found.words), *found.heard.others]
        asked = self._memory.asked if quiet_seconds < QUESTION_STANDS_SECONDS else None
        if asked is not None and asked.answer.if_yes is not None:
            match answer_to_question(texts[0]):
                case "yes":
                    return replace(asked, answer=asked.answer.if_yes)
                case "no":
                    no = asked.answer.if_no or AbilityAnswer("Then I leave it.")
                    return replace(asked, answer=no)
                case None:
                    pass
        completes = asked.answer.completes if asked is not None else ""
        try:
            return self._abilities.answer(
                texts, self._last_turn(models), completes, hands_over=turn.hands_over
            )
        except AttuneError as error:
            return Found("", AbilityAnswer(str(error)))

    def _act(self, turn: QueuedTurn, found: Found) -> _Reply:
        """Do what was asked for, once the turn is kept, and say the answer."""
        answer = found.answer
        if answer.intents:
            return _Reply(answer.reply)  # the client does it, and says so
        if answer.act is None:
            return self._say(turn, answer.reply)
        if turn.early is not None and answer.reply:
            turn.early.prepare(answer.reply)
        self._kept(turn)
        self._memory.asked = None  # whatever becomes of this turn, a second yes does nothing
        try:
            reply = answer.act() or answer.reply
        except AttuneError as error:
            logger.error("%s failed", found.ability)
            logger.debug("%s failed: %s", found.ability, error)
            reply = f"That did not work: {error}"
        if found.ability == TOOLS and self.interrupted.is_set():
            return _Reply(cut_short=True)
        return self._say(turn, reply)

    def _turn_to(self, turn: QueuedTurn, models: ModelLease) -> None:
        """Turn to the conversation of `turn`, which is forgotten if it was quiet for long."""
        if self._forgets.is_set():
            self._forgets.clear()
            mode = self.mode  # it is a wish of the user's, and nothing that was said
            self._memories = Memories(self._clocks.elapsed(), self._settings.mode)
            self.mode = mode
            self._unanswered, self._model = Unanswered(), None
        now = self._clocks.elapsed()
        self._memory = memory = self._memories.of(turn.conversation, now, self._log.served())
        if models.language_model is not self._model:
            self._memories.leave_model()
            self._model, self._in_model = models.language_model, None
        if now - memory.ended_at >= self._settings.forget_after_seconds:
            memory.leave_model()
            if memory is self._in_model:
                self._in_model = None

    def _enter(self, models: ModelLease, step: Step = unwatched) -> None:
        """Let the language model go on with this conversation. It takes time to go on after
        another one, so only a turn that needs the language model enters. Raises what `step`
        does."""
        memory, model = self._memory, models.language_model
        if memory is self._in_model:
            return
        if self._in_model is not None:
            self._in_model.suspended = model.suspend()
        self._in_model = None  # until it has succeeded
        if memory.suspended is None:
            self._begin_anew(models)
        else:
            try:
                model.resume(memory.suspended, step)
            except AttuneError as error:
                logger.warning("the language model forgets a conversation: %s", error)
        memory.suspended, self._in_model = None, memory

    def _begin_anew(self, models: ModelLease) -> None:
        """Begin a new conversation, in which the language model knows what day it is."""
        try:
            models.forget(self._facts())
        except AttuneError as error:
            logger.warning("the language model is not told the date: %s", error)
            models.forget()

    def _with_missed(self, turn: QueuedTurn, reply: _Reply) -> _Reply:
        """Say after a reply what the user has missed."""
        try:
            missed = self._abilities.alarms.missed()
        except AttuneError as error:
            logger.error("what was missed cannot be told: %s", error)
            return reply
        if not missed:
            return reply
        told = self._say(turn, " " + " ".join(missed))
        return replace(
            reply,
            text=f"{reply.text}{told.text}".strip(),
            first_piece_at=reply.first_piece_at or told.first_piece_at,
        )

    def _with_question(self, turn: QueuedTurn, reply: _Reply) -> tuple[_Reply, Found | None]:
        """Put a question of an ability's own after a reply to what was said at the device, if there
        is one to be put."""
        if turn.source != "microphone" or not reply.text or reply.cut_short:
            return reply, None
        try:
            found = self._abilities.own_question()
        except AttuneError as error:
            logger.error("a question cannot be put: %s", error)
            return reply, None
        if found is None:
            return reply, None
        told = self._say(turn, f" {found.answer.reply}")
        return replace(reply, text=f"{reply.text}{told.text}"), found

    def _kept(self, turn: QueuedTurn) -> None:
        """Wait until `turn` is kept, if it was begun early. Raises TurnAbandoned if it is not."""
        if turn.early is not None:
            turn.early.wait(partial(self._go_on, turn))

    def _undo_act(self) -> None:
        """Take back what an ability did in the last turn."""
        undo, self._memory.undo = self._memory.undo, None
        if undo is None:
            return
        try:
            undo()
        except AttuneError as error:
            logger.error("what was done for a turn whose speech went on stays: %s", error)

    def _last_turn(self, models: ModelLease) -> LastTurn | None:
        last, by_model = self._memory.last, self._memory.last_by_model
        if last is None:
            return None

        def forget() -> None:
            self._log.take_back(last.id, last.utterance)
            if by_model:
                self._enter(models)
                models.withdraw()
            self._tools.forget_turn(last.turn)

        return LastTurn(last.heard, last.reply, forget, last.id)

    def _say(self, turn: QueuedTurn, text: str) -> _Reply:
        """Say `text` in place of a reply."""
        first_piece_at = time.perf_counter()
        self._publish(turn, ReplyPiece(turn=turn.number, source=turn.source, text=text))
        return _Reply(text, first_piece_at)

    def _reply(
        self, turn: QueuedTurn, models: ModelLease, heard: Transcript | SoftTokens
    ) -> _Reply:
        """Publish the language model's reply piece by piece, and return all of it."""
        provisional = turn.early is not None and turn.early.open
        try:
            return self._stream(turn, models, heard, provisional)
        except AttuneError:
            if not provisional or turn.early is None:
                raise
            # It can be said only at the expense of older turns, so not before the turn is kept.
            turn.early.wait(partial(self._go_on, turn))
            return self._stream(turn, models, heard, provisional=False)

    def _stream(
        self,
        turn: QueuedTurn,
        models: ModelLease,
        heard: Transcript | SoftTokens,
        provisional: bool,
    ) -> _Reply:
        pieces: list[str] = []
        first_piece_at, cut_short = None, False
        until = self._clocks.processor() + self._settings.max_reply_seconds
        step = partial(self._go_on, turn)
        self._enter(models, step)
        tokens = self._settings.max_reply_tokens
        try:
            with closing(models.reply(heard, tokens, step, provisional)) as stream:
                for piece in stream:
                    if first_piece_at is None:
                        first_piece_at = time.perf_counter()
                    pieces.append(piece)
                    self._publish(
                        turn, ReplyPiece(turn=turn.number, source=turn.source, text=piece)
                    )
                    cut_short = self.interrupted.is_set() or self._clocks.processor() >= until
                    if cut_short:
                        break
        except TurnAbandoned:
            if turn.taken_back:
                models.withdraw()
                raise
            if not pieces:
                raise
            cut_short = True  # the pieces were published already
        if turn.taken_back:
            models.withdraw()
            raise TurnAbandoned
        return _Reply("".join(pieces).strip(), first_piece_at, cut_short)


def _text_of(meant: Transcript | SoftTokens, words: str) -> str:
    """The text of what is answered, which was heard as `words`."""
    return meant.text if isinstance(meant, Transcript) else words


def _milliseconds(since: float, until: float | None) -> float | None:
    """Milliseconds between two times, at least 0: a reply may be there before its turn is kept."""
    return None if until is None else max(0.0, 1000 * (until - since))
