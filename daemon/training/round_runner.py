"""Trains one round in a child process: starts it within the memory budget, pauses it for speech,
and ends it if it must.

Knows no idle window and no verdict.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engines.errors import AttuneError
from engines.jobs.messages import AdaptJob, Progress

from ..jobs.child import Child, Outcome
from ..serving.moves import Moves
from .idle import Decision
from .memory_guard import MemoryGuard
from .preemption import Preemption
from .rounds import JOB_NAME, Rounds, job_folder, prepare
from .status import CurrentStatus

_SPLIT_STAGES = ("samples", "train", "distil")
"""Stages that take less memory in more micro-batches."""
_SPEECH_NEEDS_MODELS = "a user speaks, and the serving models need the memory"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Signals:
    """Signals of other threads to the thread that schedules and runs rounds."""

    wake: threading.Event = field(default_factory=threading.Event)
    """Set when something happened that the thread must look at."""
    requested: threading.Event = field(default_factory=threading.Event)
    """Set when a user asked for a round."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when a user cancelled the round."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the daemon stops."""

    @property
    def given_up(self) -> bool:
        """Whether the running round was cancelled, or the daemon stops."""
        return self.stopping.is_set() or self.cancelled.is_set()


@dataclass(frozen=True)
class TrainedRound:
    """How the child of a round ended."""

    outcome: Outcome
    last: Progress
    """The last progress that the child reported."""
    running_seconds: float
    """Seconds that the child ran, without pauses."""
    peak_bytes: int
    """Peak resident memory of the child."""


class RoundRunner:
    """Runs rounds, one at a time, in the thread that calls it."""

    def __init__(
        self,
        rounds: Rounds,
        build_job: Callable[[int, int, Path, int], AdaptJob],
        moves: Callable[[int], Moves],
        guard: MemoryGuard | None,
        preemption: Preemption,
        status: CurrentStatus,
        signals: Signals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`build_job(number, parent, folder, user)` gathers the examples of a round, or raises
        AttuneError with the reason why there is none; `moves` returns those of a user. Without a
        `guard`, the memory of a round is not limited."""
        self._rounds = rounds
        self._build_job = build_job
        self._moves = moves
        self._guard = guard
        self._preemption = preemption
        self._status = status
        self._signals = signals
        self._clock = clock
        self._most_used_bytes = 0

    def train(
        self, number: int, user: int, anew: bool, may_go_on: Callable[[], Decision]
    ) -> TrainedRound:
        """Train generation `number` of `user`; with `anew`, not from the checkpoint of an earlier
        round.

        The child is stopped if `may_go_on` says no. If it had to free its memory, it is started
        again in the same round. Raises AttuneError if there is no generation to start from, nothing
        to learn from, or too little memory, and OSError if the disk is full.
        """
        job = self._new_job(number, user, anew)
        self._most_used_bytes = 0
        try:
            while True:
                self._status.change(
                    state="training", stage="start", fraction=0.0, note="", number=number
                )
                job = self._admitted(job)
                trained, gave_way = self._run_child(job, may_go_on)
                if not gave_way or trained.outcome.kind != "stopped":
                    return trained
                _log.info("round %04d goes on later: %s", number, gave_way)
                if (smaller := self._after_giving_way(job, gave_way)) is None:
                    return trained
                job = smaller
        finally:
            if self._guard is not None and not self._signals.stopping.is_set():
                self._guard.need_models()

    def _new_job(self, number: int, user: int, anew: bool) -> AdaptJob:
        rounds, moves = self._rounds, self._moves(user)
        parent, reasons = moves.usable()
        if parent is None:
            raise AttuneError(
                f"no generation in {rounds.generations} to start from:"
                f" {'; '.join(reasons) or 'the base is missing'}"
            )
        for reason in reasons:
            _log.warning("a round starts from generation %04d: %s", parent.number, reason)
        moves.sweep()  # no child is writing now: temporary files there are of a killed one
        job = self._build_job(number, parent.number, job_folder(rounds.jobs, number), user)
        prepare(job, rounds.jobs, anew=anew)
        return job

    def _admitted(self, job: AdaptJob) -> AdaptJob:
        """Return `job` in the form that fits the memory budget. Raises AttuneError if none does."""
        if self._guard is None:
            return job
        admitted, made = self._guard.admit(job)
        self._status.change(budget_bytes=made.budget_bytes, predicted_bytes=made.predicted_bytes)
        return admitted

    def _run_child(
        self, job: AdaptJob, may_go_on: Callable[[], Decision]
    ) -> tuple[TrainedRound, str]:
        """Run the child to its end. Returns how it ended, and why it has to be started anew in this
        round; empty if it has not."""
        rounds = self._rounds
        child = Child.start(
            job,
            job.folder / JOB_NAME,
            rounds.command,
            on_progress=self._note_progress,
            on_end=self._signals.wake.set,
            silence_limit_seconds=rounds.silence_limit_seconds,
            asleep_limit_seconds=rounds.asleep_limit_seconds,
            clock=self._clock,
            launch=rounds.launch,
            given_up=lambda: self._signals.given_up,
        )
        try:
            with self._preemption.holding(child):
                outcome, gave_way = self._follow(child, may_go_on)
        finally:
            child.kill("its round ended")  # has no effect on a child that has ended
            if self._guard is not None:
                self._guard.make_room()
        trained = TrainedRound(outcome, child.last, child.running_seconds, child.peak_bytes)
        return trained, gave_way

    def _follow(self, child: Child, may_go_on: Callable[[], Decision]) -> tuple[Outcome, str]:
        """Follow a running child to its end. Returns what `_run_child` does."""
        rounds, signals = self._rounds, self._signals
        while (outcome := child.poll()) is None:
            signals.wake.clear()
            if signals.stopping.is_set():
                return child.stop(rounds.grace_seconds, "the daemon is stopping"), ""
            if signals.cancelled.is_set():
                return child.stop(rounds.grace_seconds, "cancelled by the user"), ""
            if not (decision := may_go_on()).run:
                return child.stop(rounds.grace_seconds, decision.reason), ""
            if self._guard is not None and (reason := self._must_give_way(self._guard, child)):
                return child.stop(rounds.yield_grace_seconds, reason), reason
            self._preemption.go_on_after(rounds.resume_after_seconds)
            signals.wake.wait(rounds.poll_seconds)
        return outcome, ""

    def _must_give_way(self, guard: MemoryGuard, child: Child) -> str:
        """Say why the memory of `child` is needed; empty if it is not."""
        if guard.tight and self._preemption.speaking:
            return _SPEECH_NEEDS_MODELS
        used = guard.used_bytes(child.pid)
        self._most_used_bytes = max(self._most_used_bytes, used)
        self._status.change(most_used_bytes=self._most_used_bytes)
        return guard.exceeded(used)

    def _after_giving_way(self, job: AdaptJob, gave_way: str) -> AdaptJob | None:
        """Wait until the round may go on. Returns the job to go on with, or None if it may not."""
        assert self._guard is not None
        if gave_way != _SPEECH_NEEDS_MODELS:
            stage = self._status.read().stage
            return self._guard.smaller(job) if stage in _SPLIT_STAGES else None
        self._guard.need_models()
        self._status.change(state="paused", note=gave_way)
        while not self._signals.given_up:
            self._signals.wake.clear()
            if self._preemption.quiet_seconds() >= self._rounds.reload_after_seconds:
                return job
            self._signals.wake.wait(self._rounds.poll_seconds)
        return None

    def _note_progress(self, progress: Progress) -> None:
        self._status.change(stage=progress.stage, fraction=progress.fraction, note=progress.note)
