"""Schedules rounds: waits for an idle window, has a round trained, judges its candidate, counts
failures. Knows no model and no database.

One thread does all of it; other threads only tell it what happened (`speech_started`, `run_now`,
`cancel`). A round that fails costs only time: the next one goes on from its checkpoint, and the
served generation stays.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from engines.errors import AttuneError
from engines.generations.folder import Generation, next_number
from engines.jobs.messages import AdaptJob

from ..events.bus import Events
from ..events.learning import AdaptationStatus
from ..promotion.promote import promote_or_refuse
from ..serving.moves import Moves
from ..store.records import FIRST_USER, RoundOutcome
from .idle import Decision, Limits, Snapshot, agreed, decide, may_go_on, may_start
from .memory_guard import MemoryGuard
from .preemption import Preemption
from .round_runner import RoundRunner, Signals, TrainedRound
from .rounds import RoundRecord, Rounds, clear, unjudged
from .status import CurrentStatus

FRESH_AFTER_FAILURES = 3
"""Number of failures in a row after which a round does not go on from its checkpoint, which may be
the cause."""

_log = logging.getLogger(__name__)


class RoundScheduler:
    """The thread that runs rounds."""

    def __init__(
        self,
        rounds: Rounds,
        *,
        snapshot: Callable[[], Snapshot],
        build_job: Callable[[int, int, Path, int], AdaptJob],
        moves: Callable[[int], Moves],
        whose: Callable[[], int] = lambda: FIRST_USER,
        events: Events,
        record: Callable[[RoundRecord], None] = lambda record: None,
        guard: MemoryGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`build_job` and `guard` are those of RoundRunner.

        `snapshot` need not know of failures, which the scheduler counts; `whose` returns the user
        whom it is about. `moves` returns what makes a candidate of a user current. All four, and
        `record`, are called from the scheduler's thread. Every change of status is published in
        `events` as AdaptationChanged."""
        self._rounds = rounds
        self._snapshot = snapshot
        self._moves = moves
        self._whose = whose
        self._record = record
        self._clock = clock
        self._wall_clock = wall_clock
        self._signals = Signals()
        self._preemption = Preemption(clock)
        self._status = CurrentStatus(events, self._preemption)
        self._runner = RoundRunner(
            rounds, build_job, moves, guard, self._preemption, self._status, self._signals, clock
        )
        self._thread = threading.Thread(target=self._run, name="adaptation", daemon=True)
        self._failures = 0
        """Number of failures in a row, of any round."""
        self._failures_of_job = 0
        """Number of failures in a row of the job that the next round goes on with."""
        self._failed_at = self._cancelled_at = float("-inf")
        self._stepping = threading.Lock()
        """Held by the thread while it prepares, runs or judges a round."""
        self._held = threading.Event()
        """Set while no round may begin."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End a running round, whose checkpoint stays, and the thread. Returns once both have
        ended."""
        self._signals.stopping.set()
        self._signals.wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def speech_started(self) -> None:
        """Stop a running child at once. The listening thread calls this, so it must be quick."""
        self._preemption.speech_started()
        self._signals.wake.set()

    def speech_ended(self) -> None:
        """Let the child go on after `resume_after_seconds`. Call this when the reply has ended, not
        when the words have."""
        self._preemption.speech_ended()
        self._signals.wake.set()

    def attention_changed(self, needed: bool) -> None:
        """Note that a user needs the machine (True), or that no user does any more (False)."""
        if needed:
            self.speech_started()
        else:
            self.speech_ended()

    def run_now(self) -> None:
        """Start a round without waiting for an idle window. Has no effect while a round runs. To
        follow the round, subscribe to AdaptationChanged first."""
        self._signals.requested.set()
        self._signals.wake.set()

    def cancel(self) -> None:
        """End the running round, or withdraw a request for one. The next round starts after
        `min_minutes_between_rounds`."""
        signals = self._signals
        if signals.requested.is_set():
            signals.requested.clear()
            self._tell(
                outcome="cancelled", last_outcome="cancelled", last_reason="cancelled by the user"
            )
        signals.cancelled.set()
        signals.wake.set()

    @contextmanager
    def held(self, patience_seconds: float) -> Iterator[None]:
        """End the running round, and let none begin until the context ends. Raises AttuneError if
        the round does not end within `patience_seconds`."""
        self._held.set()
        try:
            self.cancel()
            if not self._stepping.acquire(timeout=patience_seconds):
                raise AttuneError("the round that runs does not end; try again in a moment")
            try:
                yield
            finally:
                self._stepping.release()
        finally:
            self._held.clear()
            self._signals.wake.set()

    def status(self) -> AdaptationStatus:
        """Return what the scheduler is doing, and how the last round ended. May be called from any
        thread."""
        return self._status.read()

    def _run(self) -> None:
        with self._stepping:
            self._guarded(self._judge_leftover)
        signals = self._signals
        while not signals.stopping.is_set():
            signals.wake.clear()
            with self._stepping:
                if not self._held.is_set():
                    self._guarded(self._step)
            signals.wake.wait(self._rounds.poll_seconds)
        self._tell(state="stopped", note="")

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 (a defect in one round must not end adaptation, nor the daemon, for good)
            _log.exception("a round of training ended in a defect")
            self._note_failure()
            self._tell(
                state="waiting", last_outcome="failed", last_reason=repr(error), outcome="failed"
            )

    def _step(self) -> None:
        signals = self._signals
        requested = signals.requested.is_set()
        signals.requested.clear()
        signals.cancelled.clear()
        decision = self._decide(may_start if requested else decide, requested)
        self._tell(state="waiting", stage="", fraction=0.0, note=decision.reason)
        if decision.run:
            self._round(requested)
        elif requested:
            self._tell(last_outcome="cancelled", last_reason=decision.reason, outcome="cancelled")

    def _decide(self, rule: Callable[[Snapshot, Limits], Decision], requested: bool) -> Decision:
        """Return what `rule` decides now, about a round that a user `requested` or one that starts
        automatically."""
        try:
            snapshot = self._snapshot()
        except AttuneError as error:
            return Decision(False, str(error))
        now = self._clock()
        known = replace(
            snapshot,
            paused=snapshot.paused and not requested,
            consecutive_failures=self._failures,
            seconds_since_failure=now - self._failed_at,
            seconds_since_round=min(snapshot.seconds_since_round, now - self._cancelled_at),
        )
        return rule(known, self._rounds.limits)

    def _round(self, requested: bool) -> None:
        started_at = self._wall_clock()
        self._status.change(round_started_at=started_at)
        number, user = next_number(self._rounds.generations), self._whose()
        try:
            trained = self._runner.train(
                number,
                user,
                anew=self._failures_of_job >= FRESH_AFTER_FAILURES,
                may_go_on=lambda: self._decide(may_go_on, requested),
            )
        except (AttuneError, OSError) as error:
            ended: RoundOutcome = "cancelled" if self._signals.given_up else "failed"
            self._failures_of_job += ended == "failed"
            self._finish(
                RoundRecord(
                    number, started_at, self._wall_clock(), ended, str(error), 0.0, 0, None, user
                )
            )
            return
        candidate = unjudged(self._rounds.jobs, self._rounds.generations)
        # However the child ended, a generation that it wrote is whole.
        if candidate is not None and candidate.number == number:
            self._judge(candidate, started_at, trained.peak_bytes)
        else:
            self._finish_without_candidate(number, user, started_at, trained)

    def _finish_without_candidate(
        self, number: int, user: int, started_at: float, trained: TrainedRound
    ) -> None:
        """Finish a round that wrote no generation: it refused its labels, was stopped, or
        failed."""
        end = trained.outcome
        refused = end.kind == "done" and trained.last.stage == "refused"
        if refused:
            clear(self._rounds.jobs, number)
        outcome: RoundOutcome = (
            "refused" if refused else "cancelled" if end.kind == "stopped" else "failed"
        )
        reason = end.reason or f"the training process ended without writing generation {number:04d}"
        failed = outcome == "failed" and end.kind != "killed"
        self._failures_of_job = self._failures_of_job + 1 if failed else 0
        self._finish(
            RoundRecord(
                number,
                started_at,
                self._wall_clock(),
                outcome,
                trained.last.note if refused else reason,
                trained.running_seconds,
                trained.peak_bytes,
                None,
                user,
            )
        )

    def _judge_leftover(self) -> None:
        """Judge a candidate that a killed daemon had trained but not judged."""
        candidate = unjudged(self._rounds.jobs, self._rounds.generations)
        if candidate is not None:
            started_at = self._wall_clock()
            self._status.change(round_started_at=started_at)
            self._judge(candidate, started_at, 0)

    def _judge(self, candidate: Generation, started_at: float, peak_bytes: int) -> None:
        self._tell(state="judging", number=candidate.number)
        outcome: RoundOutcome = "refused"
        if (agreed := self._agreed()).run:
            outcome, reason = promote_or_refuse(
                candidate, self._rounds.shadow_turns, self._moves(candidate.card.user)
            )
        else:
            reason = f"refused: {agreed.reason}"
        clear(self._rounds.jobs, candidate.number)
        peak_bytes = max(peak_bytes, candidate.card.peak_bytes)
        seconds = candidate.card.wall_seconds
        self._failures_of_job = 0
        self._finish(
            RoundRecord(
                candidate.number,
                started_at,
                self._wall_clock(),
                outcome,
                reason,
                seconds,
                peak_bytes,
                candidate.number,
                candidate.card.user,
            )
        )

    def _agreed(self) -> Decision:
        """Whether what was learnt may serve."""
        try:
            return agreed(self._snapshot())
        except AttuneError as error:
            return Decision(False, str(error))

    def _finish(self, record: RoundRecord) -> None:
        if record.outcome == "failed":
            self._note_failure()
        elif record.outcome == "cancelled":
            self._cancelled_at = self._clock()
        else:
            self._failures = 0
        level = logging.WARNING if record.outcome == "failed" else logging.INFO
        _log.log(level, "round %04d %s: %s", record.number, record.outcome, record.reason)
        try:
            self._record(record)
        except AttuneError as error:
            _log.warning("the round could not be recorded: %s", error)
        self._signals.requested.clear()  # a client that asked while the round ran has followed it
        self._tell(
            state="waiting",
            note="",
            last_outcome=record.outcome,
            last_reason=record.reason,
            outcome=record.outcome,
        )

    def _note_failure(self) -> None:
        self._failures += 1
        self._failed_at = self._clock()

    def _tell(self, outcome: RoundOutcome | None = None, **changes: object) -> None:
        self._status.change(outcome, **changes, consecutive_failures=self._failures)
