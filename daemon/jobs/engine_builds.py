"""Makes use of a GPU if it can be trusted. While nobody needs the machine, a child process builds
and tries the encoder's plan, and tries which other engines compute on the GPU.

Knows no TensorRT; `engines/whisper/encoder_choice.py` says what to do about the plan.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.device.gpu import has_gpu
from engines.device.runtimes import CLAIMS, Trial, keep_runtimes, read_runtimes, runtimes_path
from engines.jobs.engine_jobs import EngineJob, TrialJob
from engines.jobs.messages import EngineFiles
from engines.jobs.programs import ENGINE_JOB, program
from engines.whisper.encoder_choice import Choice, WantedPrecision, choose_encoder, plan_job
from engines.whisper.plan_cache import plans_folder, quarantine

from ..attention import Attention
from ..clocks import REAL_TIME, Clocks
from ..events.bus import Events
from ..events.learning import EncoderChanged
from ..idle_task import IdleTask
from .child import ASLEEP_LIMIT_SECONDS, Child, Outcome

logger = logging.getLogger(__name__)

ENGINE_COMMAND: tuple[str, ...] = tuple(program(ENGINE_JOB))
_EVERY_SECONDS = 60.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class ChildLimits:
    seconds: float = 1800.0
    """Processor seconds per thread that the child may use without a progress line: builds are
    silent."""
    asleep_seconds: float = ASLEEP_LIMIT_SECONDS
    """Seconds that the child may sleep without a progress line."""
    peak_bytes: int = 3 << 30
    """Most resident memory that the child may use."""


class EngineBuilds:
    """A thread that builds and tries engines; `step` does it at once, from any thread."""

    def __init__(
        self,
        files: EngineFiles,
        wanted: WantedPrecision,
        cache_dir: Path,
        attention: Attention,
        events: Events,
        *,
        threads: int,
        served_by_plan: Callable[[], bool],
        reopen: Callable[[], None],
        may_run: Callable[[], bool],
        limits: ChildLimits = ChildLimits(),
        clocks: Clocks = REAL_TIME,
        command: Sequence[str] = ENGINE_COMMAND,
    ) -> None:
        """Children compute with `threads`. `reopen` opens the engines anew, so that they use what
        was built and tried. Nothing is done while `may_run` returns False."""
        self._files = files
        self._wanted = wanted
        self._plans = plans_folder(cache_dir)
        self._runtimes = runtimes_path(cache_dir)
        self._attention = attention
        self._events = events
        self._clocks = clocks
        self._served_by_plan = served_by_plan
        self._reopen = reopen
        self._may_run = may_run
        self._threads = threads
        self._limits = limits
        self._command = command
        self._ended = threading.Event()
        self._task = IdleTask("engines", self.step, attention, _EVERY_SECONDS, clocks.monotonic)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """End a running build, whose results so far are lost, and the thread."""
        self._task.stopping.set()
        self._ended.set()
        self._task.stop()

    def step(self) -> None:
        """Build or try what is to be built or tried next, if anything."""
        if not self._may_run():
            return
        has_plan = self._see_to_plan()
        has_others = self._may_run() and self._see_to_trials()
        if has_plan or has_others:
            self._reopen()
        if has_plan:
            self._events.publish(
                EncoderChanged(by_plan=self._served_by_plan(), why=self._choice().why)
            )

    def _see_to_plan(self) -> bool:
        """Build or try the encoder's plan if needed. Returns whether there is a plan now that does
        not serve yet."""
        choice = self._choice()
        if choice.step in ("build", "try"):
            outcome = self._run(
                plan_job(choice, self._plans, self._threads, tries_only=choice.step == "try")
            )
            if outcome.kind == "stopped":
                return False  # the daemon ends; the plan is not to blame
            if outcome.kind != "done":
                self._refuse(choice, outcome.reason)
                return False
            logger.info("the encoder's plan was %s", "built" if choice.step == "build" else "tried")
            choice = self._choice()
        return choice.step == "open" and not self._served_by_plan()

    def _see_to_trials(self) -> bool:
        """Try which engines compute on the GPU if that is not known. Returns whether any was found
        now that does."""
        if read_runtimes(self._runtimes) is not None or not has_gpu():
            return False
        outcome = self._run(
            TrialJob(engines=self._files, output=self._runtimes, threads=self._threads)
        )
        if outcome.kind == "stopped":
            return False
        found = read_runtimes(self._runtimes) if outcome.kind == "done" else None
        if found is None:
            logger.warning(
                "which engines compute on the GPU is not known until the machine starts again: %s",
                outcome.reason,
            )
            found = keep_runtimes(
                self._runtimes,
                [Trial(claim=claim, held=False, note=outcome.reason) for claim in CLAIMS],
            )
        for trial in found.trials:
            logger.info(
                "%s: %s",
                trial.claim,
                "computes on the GPU" if trial.held else f"on the processor: {trial.note}",
            )
        return any(trial.held for trial in found.trials)

    def _choice(self) -> Choice:
        return choose_encoder(self._files.encoder, self._wanted, self._plans, self._clocks.wall())

    def _refuse(self, choice: Choice, reason: str) -> None:
        assert choice.key is not None  # without a key there is nothing to build or to try
        found = quarantine(self._plans, choice.key, reason, self._clocks.wall())
        logger.warning(
            "the encoder's plan is not used (%d times in a row): %s", found.times, reason
        )
        self._events.publish(EncoderChanged(by_plan=False, why=reason))

    def _run(self, job: EngineJob) -> Outcome:
        self._ended.clear()
        child = Child.start(
            job,
            self._plans / "job.json",
            self._command,
            on_end=self._ended.set,
            silence_limit_seconds=self._limits.seconds,
            asleep_limit_seconds=self._limits.asleep_seconds,
            clock=self._clocks.monotonic,
        )
        try:
            return self._follow(child)
        finally:
            child.kill("its work is done")

    def _follow(self, child: Child) -> Outcome:
        while (outcome := child.poll()) is None:
            if self._task.stopping.is_set():
                return child.stop(1.0, "the daemon is stopping")
            if child.peak_bytes > self._limits.peak_bytes:
                child.kill("it took too much memory")
                return Outcome(
                    "killed",
                    f"it took {child.peak_bytes >> 20} MiB, {self._limits.peak_bytes >> 20} MiB"
                    " allowed",
                )
            if self._attention.needed:
                child.pause()
            else:
                child.resume()
            self._ended.wait(_POLL_SECONDS)
        return outcome
