"""The life of a round: wait for an idle window, train in a child, yield to speech, judge, promote.
Knows no model, no database.

One thread does all of it; other threads only say what happened (`speech_started`, `run_now`,
`cancel`). A round that fails costs nothing but time: the next one goes on from its checkpoint, and
what is served stays.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engines.errors import AttuneError
from engines.generations.folder import Generation, next_number
from engines.generations.pointers import usable
from engines.jobs.messages import AdaptJob, Progress

from ..jobs.child import Child, Outcome
from ..serving.moves import Moves
from ..store.records import RoundOutcome
from .idle import Decision, Limits, Snapshot, decide, may_go_on, may_start
from .memory_guard import MemoryGuard
from .preemption import Preemption
from .rounds import (
    JOB_NAME,
    RoundRecord,
    Rounds,
    clear,
    job_folder,
    prepare,
    promote_or_refuse,
    unjudged,
)
from .status import Standing, Status

FRESH_AFTER_FAILURES = 3
"""Failures in a row after which a round does not go on from its checkpoint: the checkpoint may be
what makes it fail."""

_CUT_INTO_PARTS = ("samples", "train", "distil")
"""Stages that take less memory in more parts."""
_SPEECH_NEEDS_MODELS = "somebody speaks, and the models that answer need the memory"

_log = logging.getLogger(__name__)


class Adaptation:
    def __init__(
        self,
        rounds: Rounds,
        *,
        snapshot: Callable[[], Snapshot],
        build_job: Callable[[int, int, Path], AdaptJob],
        moves: Moves,
        record: Callable[[RoundRecord], None] = lambda record: None,
        guard: MemoryGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`build_job(number, parent, folder)` gathers the examples of a round, or raises
        AttuneError saying why there is none.

        `snapshot` need not know of failures: those are counted here. `moves` has a candidate
        served. All three, and `record`, are called from the adaptation thread. Without a `guard` a
        round takes what memory it takes.
        """
        self._rounds = rounds
        self._snapshot = snapshot
        self._build_job = build_job
        self._moves = moves
        self._record = record
        self._guard = guard
        self._clock = clock
        self._wall_clock = wall_clock
        self._thread = threading.Thread(target=self._run, name="adaptation", daemon=True)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._requested = threading.Event()
        self._cancelled = threading.Event()
        self._yielding = Preemption(clock)
        self._standing = Standing(self._yielding.status)
        self._most_used_bytes = 0
        self._again = ""
        """Why a child that was told to leave is to be started anew in the same round; empty where
        it is not."""
        self._on_request = False
        self._failures = self._failures_of_job = 0
        self._failed_at = self._cancelled_at = float("-inf")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End a running round (its checkpoint stays) and the thread; returns once both are gone."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def speech_started(self) -> None:
        """Stop a running child at once. Called from the listening thread: takes microseconds."""
        self._yielding.speech_started()
        self._wake.set()

    def speech_ended(self) -> None:
        """The child may go on after `resume_after_seconds`. To be called when the reply is given,
        not when the words end."""
        self._yielding.speech_ended()
        self._wake.set()

    def run_now(self) -> None:
        """Start a round without waiting for an idle window; while one runs, nothing more.
        `subscribe` first to follow it."""
        self._requested.set()
        self._wake.set()

    def cancel(self) -> None:
        """End the running round, or withdraw a request for one; the next starts after
        `min_minutes_between_rounds`."""
        if self._requested.is_set():
            self._requested.clear()
            self._tell(
                outcome="cancelled", last_outcome="cancelled", last_reason="cancelled by the user"
            )
        self._cancelled.set()
        self._wake.set()

    def subscribe(self, follower: Callable[[Status], None]) -> Callable[[], None]:
        """As `Standing.subscribe`."""
        return self._standing.subscribe(follower)

    def status(self) -> Status:
        """What it is doing: `state` is `waiting`, `training`, `paused`, `judging` or `stopped`; the
        note says why it waits."""
        return self._standing.read()

    def _run(self) -> None:
        self._guarded(self._judge_leftover)
        while not self._stopping.is_set():
            self._wake.clear()
            self._guarded(self._step)
            self._wake.wait(self._rounds.poll_seconds)
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
        self._on_request = requested = self._requested.is_set()
        self._requested.clear()
        self._cancelled.clear()
        decision = self._decide(may_start if requested else decide)
        self._tell(state="waiting", stage="", fraction=0.0, note=decision.reason)
        if decision.run:
            self._round()
        elif requested:
            self._tell(last_outcome="cancelled", last_reason=decision.reason, outcome="cancelled")

    def _decide(self, rule: Callable[[Snapshot, Limits], Decision]) -> Decision:
        try:
            snapshot = self._snapshot()
        except AttuneError as error:
            return Decision(False, str(error))
        now = self._clock()
        known = replace(
            snapshot,
            paused=snapshot.paused and not self._on_request,
            consecutive_failures=self._failures,
            seconds_since_failure=now - self._failed_at,
            seconds_since_round=min(snapshot.seconds_since_round, now - self._cancelled_at),
        )
        return rule(known, self._rounds.limits)

    def _round(self) -> None:
        started_at = self._wall_clock()
        number = next_number(self._rounds.generations)
        try:
            child, end = self._train(number)
        except (AttuneError, OSError) as error:
            ended: RoundOutcome = "cancelled" if self._given_up() else "failed"
            self._failures_of_job += ended == "failed"
            self._finish(
                RoundRecord(number, started_at, self._wall_clock(), ended, str(error), 0.0, 0, None)
            )
            return
        candidate = unjudged(self._rounds.jobs, self._rounds.generations)
        # However the child ended: what it wrote is whole.
        if candidate is not None and candidate.number == number:
            self._judge(candidate, started_at, child.peak_bytes)
            return
        refused = end.kind == "done" and child.last.stage == "refused"
        if refused:
            clear(self._rounds.jobs, number)
        outcome: RoundOutcome = (
            "refused" if refused else "cancelled" if end.kind == "stopped" else "failed"
        )
        reason = end.reason or f"the training process ended without writing generation {number:04d}"
        reason = child.last.note if refused else reason
        self._failures_of_job = (
            self._failures_of_job + 1 if outcome == "failed" and end.kind != "killed" else 0
        )
        ended_at = self._wall_clock()
        self._finish(
            RoundRecord(
                number,
                started_at,
                ended_at,
                outcome,
                reason,
                child.running_seconds,
                child.peak_bytes,
                None,
            )
        )

    def _train(self, number: int) -> tuple[Child, Outcome]:
        rounds = self._rounds
        parent, reasons = usable(rounds.generations)
        if parent is None:
            raise AttuneError(
                f"no generation in {rounds.generations} to start from:"
                f" {'; '.join(reasons) or 'the base is missing'}"
            )
        for reason in reasons:
            _log.warning("a round starts from generation %04d: %s", parent.number, reason)
        self._moves.sweep()  # no child is writing now: what is left there was left by a killed one
        job = self._build_job(number, parent.number, job_folder(rounds.jobs, number))
        prepare(job, rounds.jobs, anew=self._failures_of_job >= FRESH_AFTER_FAILURES)
        self._most_used_bytes = 0
        try:
            while True:
                self._tell(state="training", stage="start", fraction=0.0, note="", number=number)
                job = self._admitted(job)
                child, outcome = self._run_child(job)
                if outcome.kind != "stopped" or not self._again:
                    return child, outcome
                _log.info("round %04d goes on later: %s", number, self._again)
                if (smaller := self._after_yielding(job)) is None:
                    return child, outcome
                job = smaller
        finally:
            if self._guard is not None and not self._stopping.is_set():
                self._guard.need_models()

    def _given_up(self) -> bool:
        return self._stopping.is_set() or self._cancelled.is_set()

    def _admitted(self, job: AdaptJob) -> AdaptJob:
        """`job` as it fits the memory that there is. Raises AttuneError where it does not."""
        if self._guard is None:
            return job
        admitted, made = self._guard.admit(job)
        self._tell(budget_bytes=made.budget_bytes, predicted_bytes=made.predicted_bytes)
        return admitted

    def _run_child(self, job: AdaptJob) -> tuple[Child, Outcome]:
        rounds = self._rounds
        self._again = ""
        child = Child.start(
            job,
            job.folder / JOB_NAME,
            rounds.command,
            on_progress=self._on_progress,
            on_end=self._wake.set,
            silence_limit_seconds=rounds.silence_limit_seconds,
            asleep_limit_seconds=rounds.asleep_limit_seconds,
            clock=self._clock,
            launch=rounds.launch,
            given_up=self._given_up,
        )
        try:
            with self._yielding.holding(child):
                return child, self._follow(child)
        finally:
            child.kill("its round ended")  # does nothing to one that has ended
            if self._guard is not None:
                self._guard.make_room()

    def _follow(self, child: Child) -> Outcome:
        while (outcome := child.poll()) is None:
            self._wake.clear()
            if self._stopping.is_set():
                return child.stop(self._rounds.grace_seconds, "the daemon is stopping")
            if self._cancelled.is_set():
                return child.stop(self._rounds.grace_seconds, "cancelled by the user")
            if not (decision := self._decide(may_go_on)).run:
                return child.stop(self._rounds.grace_seconds, decision.reason)
            if self._guard is not None and (reason := self._must_yield(self._guard, child)):
                self._again = reason
                return child.stop(self._rounds.yield_grace_seconds, reason)
            self._yielding.go_on_after(self._rounds.resume_after_seconds)
            self._wake.wait(self._rounds.poll_seconds)
        return outcome

    def _must_yield(self, guard: MemoryGuard, child: Child) -> str:
        """Why the memory of `child` is needed; empty where it is not."""
        if guard.tight and self._yielding.speaking:
            return _SPEECH_NEEDS_MODELS
        used = guard.used_bytes(child.pid)
        self._most_used_bytes = max(self._most_used_bytes, used)
        self._tell(most_used_bytes=self._most_used_bytes)
        return guard.exceeded(used)

    def _after_yielding(self, job: AdaptJob) -> AdaptJob | None:
        """The job to go on with once it may; None where it may not."""
        assert self._guard is not None
        if self._again != _SPEECH_NEEDS_MODELS:
            return (
                self._guard.smaller(job)
                if self._standing.read()["stage"] in _CUT_INTO_PARTS
                else None
            )
        self._guard.need_models()
        self._tell(state="paused", note=self._again)
        while not self._given_up():
            self._wake.clear()
            if self._yielding.quiet_seconds() >= self._rounds.reload_after_seconds:
                return job
            self._wake.wait(self._rounds.poll_seconds)
        return None

    def _judge_leftover(self) -> None:
        """Judge what a daemon that was killed had trained but not judged."""
        candidate = unjudged(self._rounds.jobs, self._rounds.generations)
        if candidate is not None:
            self._judge(candidate, self._wall_clock(), 0)

    def _judge(self, candidate: Generation, started_at: float, peak_bytes: int) -> None:
        self._tell(state="judging", number=candidate.number)
        outcome, reason = promote_or_refuse(candidate, self._rounds, self._moves)
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
            )
        )

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
        self._requested.clear()  # whoever asked while it ran has followed it
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

    def _on_progress(self, progress: Progress) -> None:
        self._tell(stage=progress.stage, fraction=progress.fraction, note=progress.note)

    def _tell(self, outcome: str | None = None, **changes: object) -> None:
        self._standing.publish(outcome, **changes, consecutive_failures=self._failures)
