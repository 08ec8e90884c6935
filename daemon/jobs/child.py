"""Runs one job as a child process: starts it, follows it, pauses it while a user speaks, ends it.
Knows no training, no schedule.

The child reports its progress on its standard output (`engines.jobs.messages.Progress`, one JSON
object per line). It counts as hung if it is silent for too much processor time, or sleeps for too
long; time by the clock says nothing on a machine that other programs keep busy. It dies with the
daemon, because it first calls `engines.jobs.child_process.settle_as_child`.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from engines.device.memory import peak_resident_bytes
from engines.device.process_time import Patience
from engines.encryption.files import write_file
from engines.errors import AttuneError
from engines.jobs.calibration_jobs import Job
from engines.jobs.child_process import PARENT_VARIABLE
from engines.jobs.engine_jobs import EngineJob
from engines.jobs.messages import Progress
from engines.jobs.programs import CALIBRATION_JOB, program

from .launch import SIGTERM_EXIT, Launch, Output, Process, as_child
from .pause_clock import PauseClock

CALIBRATION: tuple[str, ...] = tuple(program(CALIBRATION_JOB))
LOG_NAME = "child.log"
MAX_LINE_BYTES = 8192
MAX_LOG_BYTES = 4 << 20
MAX_REASON_CHARACTERS = 300
SILENCE_LIMIT_SECONDS = 300.0
"""Processor seconds per thread that a child may use without a progress line."""
ASLEEP_LIMIT_SECONDS = 3600.0
"""Seconds that a child may sleep without a progress line, although it could have processor time.
That is longer than anything that a child waits for, such as a plan that another process builds."""
_LOOK_SECONDS = 5.0
"""Seconds between two checks of a silent child."""
_STOPPING_SECONDS = 0.01
_KEPT_VARIABLES = (
    *(
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "TMPDIR",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
    ),
    *("XDG_CACHE_HOME", "ATTUNE__CACHE_DIR"),
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a child ended."""

    kind: Literal["done", "failed", "killed", "hung", "stopped"]
    """`killed`: by another process, or by the kernel for lack of memory. `stopped`: because this
    process asked it to stop."""
    reason: str
    """Why the child ended so, in one line for the user; empty if the job is done."""


class Child:
    """A running job. `pause`, `resume`, `stop` and `kill` may be called from any thread; `poll`
    from the one that started it."""

    def __init__(
        self, process: Process, log: Path, patience: Patience, clock: Callable[[], float]
    ) -> None:
        self.last = Progress(stage="start", fraction=0.0)
        self.outcome: Outcome | None = None
        self.peak_bytes = 0
        """Largest resident memory that `poll` has seen."""
        self._process = process
        self._log_path = log
        self._patience = patience
        """Used only by the thread that polls."""
        self._time = PauseClock(clock)
        self._lock = threading.Lock()
        """Held while signalling and while reaping, so that no signal goes to a process number that
        another process has by then. Guards `_time` and what the child reported."""
        self._gone = threading.Event()
        """Set once the process has ended and waits to be reaped. Until `_ended` reaps it, no other
        process gets its number."""
        self._told_to_leave = ""
        self._stands_still = threading.Event()
        self._words = self._words_seen = 0
        """Number of progress lines of the child, and how many of them the last `poll` knew of."""
        self._looked_at = float("-inf")
        self._reader: threading.Thread | None = None

    @classmethod
    def start(
        cls,
        job: Job | EngineJob,
        job_path: Path,
        command: Sequence[str] | None = None,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_end: Callable[[], None] = lambda: None,
        silence_limit_seconds: float = SILENCE_LIMIT_SECONDS,
        asleep_limit_seconds: float = ASLEEP_LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        launch: Launch = as_child,
        given_up: Callable[[], bool] = lambda: False,
    ) -> "Child":
        """Write the job to `job_path` and have `launch` start `command` (default CALIBRATION) for
        it.

        `on_progress` is called with each progress line; `on_end` once the process is gone, after
        which `poll` says how it ended. Both are called from threads of this object. The child
        counts as hung after `silence_limit_seconds` of processor time per thread without a progress
        line, or `asleep_limit_seconds` of sleep. `launch` stops waiting for a process that takes
        the job once `given_up` returns True. The child dies with the *thread* that calls this,
        because of PR_SET_PDEATHSIG: call it from a thread that lives as long. Raises AttuneError if
        the job cannot be written or the command cannot be started.
        """
        log_path = job_path.parent / LOG_NAME
        try:
            job_path.parent.mkdir(parents=True, exist_ok=True)
            write_file(job_path, job.model_dump_json(indent=2).encode())
            log_path.unlink(missing_ok=True)
            process = launch(
                command or CALIBRATION, job_path, _environment(job.threads), log_path, given_up
            )
        except OSError as error:
            raise AttuneError(
                f"training could not be started ({error.filename or job_path}: {error.strerror})"
            ) from None
        patience = Patience(process.pid, silence_limit_seconds * job.threads, asleep_limit_seconds)
        child = cls(process, log_path, patience, clock)
        child._reader = threading.Thread(
            target=child._read, args=(process.output, on_progress), name="child-output", daemon=True
        )
        child._reader.start()
        threading.Thread(
            target=child._await_end, args=(on_end,), name="child-end", daemon=True
        ).start()
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def paused(self) -> bool:
        return self._time.paused

    @property
    def pauses(self) -> int:
        """How often the child was paused."""
        return self._time.pauses

    @property
    def pause_latencies(self) -> list[float]:
        """Seconds from each call of `pause` that had an effect until every thread stood still, as
        the kernel reports it."""
        return self._time.latencies

    @property
    def running_seconds(self) -> float:
        """Seconds since the start, without pauses."""
        with self._lock:
            return self._time.running_seconds

    def pause(self) -> None:
        """Stop the child's processes at once (SIGSTOP). Has no effect on a child that is paused or
        has ended.

        Waits a moment until they stand still: threads of low priority would stop much later if this
        process began to compute at once.
        """
        called = time.perf_counter()
        with self._lock:
            if self._time.paused:
                return
            self._stands_still.clear()
            if not self._process.signal(signal.SIGSTOP):
                return
            self._time.pause(called)
        self._stands_still.wait(_STOPPING_SECONDS)

    def resume(self) -> None:
        """Let a paused child go on (SIGCONT). The pause does not count as silence."""
        with self._lock:
            self._resume()

    def stop(self, grace_seconds: float = 1.0, reason: str = "asked to end") -> Outcome:
        """Ask the child to save a checkpoint and end (SIGTERM); kill it after `grace_seconds`.
        Returns once it is gone."""
        with self._lock:
            self._told_to_leave = self._told_to_leave or reason
            self._process.signal(signal.SIGTERM)
            self._resume()  # a stopped process takes no SIGTERM
        self._gone.wait(grace_seconds)
        return self.kill(reason)

    def kill(self, reason: str = "asked to end at once") -> Outcome:
        """End the child now (SIGKILL reaches a stopped process too) and return once it is gone."""
        with self._lock:
            self._told_to_leave = self._told_to_leave or reason
            self._process.signal(signal.SIGKILL)
        return self._ended()

    def poll(self) -> Outcome | None:
        """Return how the child ended, or None while it runs. Ends a child that hangs. Call this
        every few seconds, and after `on_end`."""
        if self.outcome is not None or self._gone.is_set():
            return self._ended()
        self._bound_log()
        self.peak_bytes = max(self.peak_bytes, peak_resident_bytes(self.pid))
        why = self._look()
        if not why:
            return None
        with self._lock:
            self._process.signal(signal.SIGKILL)
        return self._ended(Outcome("hung", f"the training process {why} and was killed"))

    def _look(self) -> str:
        """Say why the child counts as hung; empty if it does not. The lock is not held while this
        looks at the process, because a pause must not wait."""
        with self._lock:
            running_seconds, words = self._time.running_seconds, self._words
        if words != self._words_seen:
            self._words_seen = words
            self._patience.renew()
        elif running_seconds - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = running_seconds
            return self._patience.look(running_seconds)
        return ""

    def _resume(self) -> None:
        if self._time.paused:
            # If it has not stood still yet, the latency is at least the time until now.
            self._note_standing_still(time.perf_counter())
            self._process.signal(signal.SIGCONT)
            self._time.resume()

    def _ended(self, outcome: Outcome | None = None) -> Outcome:
        """Wait for the end, kill what the child itself had started, read the last lines, and reap
        the process."""
        self._gone.wait()
        with self._lock:
            self._process.signal(signal.SIGKILL)
        if self._reader is not None:
            self._reader.join(5.0)
        with self._lock:
            code = self._process.reap()
            if self.outcome is None:
                self.outcome = outcome or self._read_outcome(code)
            return self.outcome

    def _read_outcome(self, code: int) -> Outcome:
        if code == 0:
            return Outcome("done", "")
        if self._told_to_leave:
            how = (
                "saved its checkpoint"
                if code == SIGTERM_EXIT
                else "did not end in time and was killed"
            )
            return Outcome("stopped", f"{self._told_to_leave} ({how})")
        if code < 0:
            hint = "; out of memory?" if code == -signal.SIGKILL else ""
            name = signal.Signals(-code).name
            return Outcome(
                "killed",
                f"the training process was killed by {name} during `{self.last.stage}`{hint}",
            )
        said = self.last.note if self.last.stage == "failed" else _last_line(self._log_path)
        reason = f"the training process failed (exit {code}): {said or 'it did not say why'}"
        return Outcome("failed", reason[:MAX_REASON_CHARACTERS])

    def _read(self, output: Output, on_progress: Callable[[Progress], None]) -> None:
        with closing(output):
            for line in _bounded_lines(output):
                try:
                    progress = Progress.model_validate_json(line)
                except ValidationError:
                    _log.debug("not a progress line from the training process: %r", line[:200])
                    continue
                with self._lock:
                    self.last = progress
                    self._words += 1
                on_progress(progress)

    def _note_standing_still(self, at: float) -> None:
        """Note that the process stands still. The caller holds the lock."""
        if self._time.stands_still(at):
            self._stands_still.set()

    def _await_end(self, on_end: Callable[[], None]) -> None:
        while self._process.wait_for_change() == "stopped":
            at = time.perf_counter()
            with self._lock:
                self._note_standing_still(at)
        self._gone.set()
        on_end()

    def _bound_log(self) -> None:
        """Empty the log if it has grown too long. The child appends, so it goes on at the new
        end."""
        with suppress(FileNotFoundError):
            if self._log_path.stat().st_size > MAX_LOG_BYTES:
                os.truncate(self._log_path, 0)


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of a job: what it needs and no more, so that it does not see keys and
    passwords in the daemon's environment."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    limited = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return {**kept, **limited, PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}


def _bounded_lines(output: Output) -> Iterator[bytes]:
    """Yield whole lines of at most MAX_LINE_BYTES. Longer lines, and an unfinished last one, are
    dropped."""
    inside_long_line = False
    while piece := output.readline(MAX_LINE_BYTES):
        ends = piece.endswith(b"\n")
        if ends and not inside_long_line:
            yield piece
        inside_long_line = not ends


def _last_line(path: Path) -> str:
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_LINE_BYTES))
        lines = file.read(MAX_LINE_BYTES).decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
    return ""
