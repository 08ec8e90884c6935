"""Sees to it that the encoder has a plan that can be trusted: has it built and tried by a child process while it is quiet.

Knows no TensorRT; `engines/encoder_choice.py` says what is to be done.
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.encoder_choice import Choice, WantedPrecision, choose_encoder, plan_job
from engines.job import EngineFiles
from engines.plans import quarantine

from .attention import Attention
from .child import Child, Outcome
from .clocks import REAL_TIME, Clocks
from .events import Events
from .quiet_chore import QuietChore

logger = logging.getLogger(__name__)

PLAN_COMMAND: tuple[str, ...] = (sys.executable, "-m", "engines.plan_job")
_EVERY_SECONDS = 60.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class PlanLimits:
    seconds: float = 1800.0
    """Without a word from the child, in which builds are silent."""
    peak_bytes: int = 3 << 30
    """Of the child."""
    threads: int = 2


class PlanKeeper:
    """A thread that does what there is to do; `step` does it at once, from any thread."""

    def __init__(
        self,
        files: EngineFiles,
        wanted: WantedPrecision,
        plans: Path,
        attention: Attention,
        events: Events,
        *,
        served_by_plan: Callable[[], bool],
        reopen: Callable[[], None],
        may_run: Callable[[], bool],
        limits: PlanLimits = PlanLimits(),
        clocks: Clocks = REAL_TIME,
        command: Sequence[str] = PLAN_COMMAND,
    ) -> None:
        """`reopen` opens the engines anew, which then find the plan; nothing is done while `may_run` says no."""
        self._files, self._wanted, self._plans = files, wanted, plans
        self._attention, self._events, self._clocks = attention, events, clocks
        self._served_by_plan, self._reopen, self._may_run = served_by_plan, reopen, may_run
        self._limits, self._command = limits, command
        self._ended = threading.Event()
        self._chore = QuietChore("plans", self.step, attention, _EVERY_SECONDS, clocks.monotonic)

    def start(self) -> None:
        self._chore.start()

    def stop(self) -> None:
        """End a build that runs; what it timed so far is lost."""
        self._chore.stopping.set()
        self._ended.set()
        self._chore.stop()

    def step(self) -> None:
        """Do what is to be done next about the plan, if anything."""
        if not self._may_run():
            return
        choice = self._choice()
        if choice.step in ("build", "try"):
            outcome = self._run(choice)
            if outcome.kind == "stopped":
                return  # the daemon ends; the plan is not to blame
            if outcome.kind != "done":
                self._refuse(choice, outcome.reason)
                return
            logger.info("the encoder's plan was %s", "built" if choice.step == "build" else "tried")
            choice = self._choice()
        if choice.step == "open" and not self._served_by_plan():
            self._reopen()
            self._events.publish({"event": "encoder", "by_plan": self._served_by_plan(), "why": choice.why})

    def _choice(self) -> Choice:
        return choose_encoder(self._files.encoder, self._wanted, self._plans, self._clocks.wall())

    def _refuse(self, choice: Choice, reason: str) -> None:
        assert choice.key is not None  # without one there is nothing to build or to try
        found = quarantine(self._plans, choice.key, reason, self._clocks.wall())
        logger.warning("the encoder's plan is not used (%d times in a row): %s", found.times, reason)
        self._events.publish({"event": "encoder", "by_plan": False, "why": reason})

    def _run(self, choice: Choice) -> Outcome:
        job = plan_job(choice, self._plans, self._limits.threads, tries_only=choice.step == "try")
        self._ended.clear()
        child = Child.start(
            job,
            self._plans / "job.json",
            self._command,
            on_end=self._ended.set,
            silence_limit_seconds=self._limits.seconds,
            clock=self._clocks.monotonic,
        )
        try:
            return self._follow(child)
        finally:
            child.kill("its work is done")

    def _follow(self, child: Child) -> Outcome:
        while (outcome := child.poll()) is None:
            if self._chore.stopping.is_set():
                return child.stop(1.0, "the daemon is stopping")
            if child.peak_bytes > self._limits.peak_bytes:
                child.kill("it took too much memory")
                return Outcome("killed", f"it took {child.peak_bytes >> 20} MiB, {self._limits.peak_bytes >> 20} MiB allowed")
            if self._attention.needed:
                child.pause()
            else:
                child.resume()
            self._ended.wait(_POLL_SECONDS)
        return outcome


def plans_folder(cache_dir: Path) -> Path:
    """Where plans lie."""
    return cache_dir / "engines" / "plans"
