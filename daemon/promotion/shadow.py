"""Runs a candidate in shadow before it takes over: the candidate hears the turns of some days, and
answers silently.

This is done while nobody talks and the conversation is forgotten, from the audio of turns that were
answered before, so that no user waits for it. Knows no database; `promotion/shadow_verdict.py` says
what becomes of the candidate.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from engines.audio.recordings import read_audio
from engines.errors import AttuneError, TurnAbandoned
from engines.generations.folder import Generation
from engines.interfaces import LanguageModel
from engines.types import SoftTokens, Transcript

from ..attention import Attention
from ..clocks import REAL_TIME, SECONDS_A_DAY, Clocks
from ..events.bus import Events
from ..events.learning import ShadowEnded
from ..events.service import ShadowStatus
from ..idle_task import IdleTask
from ..serving.lease import LoadedRoute, ModelLease, ModelLender
from ..serving.moves import Moves
from ..store.label_check import same_words
from ..store.records import RoundOutcome, Turn
from ..store.shadow_readings import ShadowReadings
from .shadow_verdict import shadow_verdict
from .verdict import beyond_bounds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShadowLimits:
    turns: int
    """Number of spoken turns after which the candidate is decided on."""
    days: float
    """Days after which the candidate is decided on in any case."""
    quiet_seconds: float
    """Seconds without speech before the candidate hears a turn. They must be so many that the
    conversation is forgotten by then."""
    max_reply_tokens: int


class Shadow:
    """A thread in which the candidate hears turns that it has not heard yet; `step` does it at
    once, from any thread."""

    def __init__(
        self,
        readings: ShadowReadings,
        lender: ModelLender,
        attention: Attention,
        events: Events,
        limits: ShadowLimits,
        *,
        load_route: Callable[[Generation], LoadedRoute],
        moves: Callable[[], Moves],
        may_learn: Callable[[], bool] = lambda: True,
        clocks: Clocks = REAL_TIME,
    ) -> None:
        """Make the thread; `start` starts it. `load_route` raises AttuneError if the candidate
        cannot be opened, and `moves` returns those of the user who is served. Nothing is heard in
        shadow, and nothing promoted, unless `may_learn`."""
        self._readings = readings
        self._lender = lender
        self._attention = attention
        self._events = events
        self._limits = limits
        self._load_route = load_route
        self._moves = moves
        self._now = moves()
        self._may_learn = may_learn
        self._opened: tuple[LanguageModel, LoadedRoute] | None = None
        """The candidate's route, and the language model with which it was opened."""
        self._first_seen: dict[int, float] = {}
        """When a candidate was first found in shadow, in seconds of the service clock, for
        candidates of which the store does not say when they came there."""
        self._task = IdleTask("shadow", self.step, attention, clock=clocks.monotonic)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """End the thread after the turn that the candidate is hearing."""
        self._task.stop()

    def let_go(self) -> None:
        """Close the candidate's route, because its memory is needed."""
        self._opened = None

    def status(self) -> ShadowStatus | None:
        """Return which generation is in shadow and how much it has heard; None if none is."""
        try:
            candidate = self._moves().named_shadow()
        except AttuneError as error:
            return ShadowStatus(generation=None, problem=str(error))
        if candidate is None:
            return None
        compared = self._readings.compared(candidate.number)
        return ShadowStatus(
            generation=candidate.number,
            turns=len(compared),
            of=self._limits.turns,
            otherwise=sum(not same_words(one.heard, one.shadow_heard) for one in compared),
        )

    def step(self) -> None:
        """Let the candidate hear turns as long as nobody talks, and decide on it once it has heard
        enough."""
        if not self._may_learn():
            return
        self._now = self._moves()  # of one user, whoever is served next
        candidate = self._now.in_shadow()
        self._end_others(candidate)
        if candidate is None or self._lender.resting or self._overtaken(candidate):
            return  # while the models are closed, the candidate can neither hear nor be served
        began_at = self._readings.began_at(candidate.number)
        if began_at is None:  # its round is not recorded yet, or the database was lost
            began_at = self._first_seen.setdefault(
                candidate.number, self._readings.store.service_seconds()
            )
        if self._attention.quiet_seconds() >= self._limits.quiet_seconds:
            self._hear(candidate, began_at)
        compared = self._readings.compared(candidate.number)
        stood_seconds = self._readings.store.service_seconds() - began_at
        if len(compared) < self._limits.turns and stood_seconds < self._limits.days * SECONDS_A_DAY:
            return
        judged = beyond_bounds(candidate.card) or shadow_verdict(compared)
        if not judged.promote:
            self._end(candidate.number, "refused", judged.reason)
            return
        outcome, problem = self._now.leave_shadow_to_serve(candidate, "its time in shadow was over")
        self._end(candidate.number, outcome, problem or judged.reason)

    def _end_others(self, candidate: Generation | None) -> None:
        """Record the end of generations that are not in shadow any more."""
        for number in self._readings.standing(self._now.user):
            if candidate is None or number != candidate.number:
                self._readings.end(
                    number,
                    "refused",
                    "refused: it left the shadow, or another generation came there",
                )

    def _overtaken(self, candidate: Generation) -> bool:
        """Return True, and end the candidate's time in shadow, if the generation that it was judged
        against is not served any more."""
        served, _ = self._now.usable()
        if served is None or served.number == candidate.card.parent:
            return False
        if served.number == candidate.number:
            heard = self._readings.compared(candidate.number)
            # If it has heard enough, a kill came between the promotion and its record.
            by_hand = "promoted by hand, before its time in shadow was over"
            self._end(
                candidate.number,
                "promoted",
                by_hand if len(heard) < self._limits.turns else shadow_verdict(heard).reason,
            )
        else:
            self._end(candidate.number, "refused", self._now.overtaken(candidate))
        return True

    def _hear(self, candidate: Generation, since: float) -> None:
        left = self._limits.turns - len(self._readings.compared(candidate.number))
        for turn in self._readings.unheard(candidate.number, since, candidate.card.user):
            if left <= 0 or self._attention.needed or self._task.stopping.is_set():
                return
            if not self._may_learn():
                return
            try:
                left -= self._hear_turn(candidate, turn)
            except TurnAbandoned:
                return
            except AttuneError as error:
                logger.warning("turn %d could not be heard in shadow: %s", turn.id, error)

    def _hear_turn(self, candidate: Generation, turn: Turn) -> bool:
        """Let the candidate hear one turn. Returns False if the turn has no audio."""
        utterance = self._readings.store.utterance(turn.utterance or "")
        if utterance is None or not utterance.audio.is_file():
            return False
        samples = read_audio(utterance.audio)
        with self._lender.lease(wake=False) as served:
            models = replace(served, loaded=self._route_of(candidate, served.language_model))
            heard = models.hear(samples, self._go_on)
            words = models.words_of(heard)
            reply = None if same_words(words, turn.heard) else self._reply(models, heard)
        self._readings.add(candidate.number, turn.id, words, reply)
        return True

    def _route_of(self, candidate: Generation, language_model: LanguageModel) -> LoadedRoute:
        """Return the candidate's route, which is opened once each time that the models are."""
        if self._opened is None or self._opened[0] is not language_model:
            self._opened = language_model, self._load_route(candidate)
        return self._opened[1]

    def _reply(self, models: ModelLease, heard: Transcript | SoftTokens) -> str:
        """Return the reply that the candidate would have led to. It is not spoken, and the
        conversation does not know of it."""
        if heard.empty:
            return ""
        models.forget()
        try:
            pieces = list(models.reply(heard, self._limits.max_reply_tokens, self._go_on))
        finally:
            models.forget()
        return "".join(pieces).strip()

    def _go_on(self) -> None:
        """Raise TurnAbandoned if a user needs the models or the daemon stops: no user waits for
        what is heard in shadow."""
        if self._attention.needed or self._task.stopping.is_set():
            raise TurnAbandoned

    def _end(self, number: int, outcome: RoundOutcome, reason: str) -> None:
        self.let_go()
        # First, because a candidate that left the shadow without a record was taken out by hand.
        self._readings.end(number, outcome, reason)
        self._now.leave_shadow(number)
        logger.info("generation %04d leaves the shadow: %s", number, reason)
        self._events.publish(ShadowEnded(generation=number, outcome=outcome, reason=reason))
