"""Keeps a round within the memory that Attune may use: plans it, unloads models for it, watches it,
makes it smaller.

The plan is a pure function (`training/memory_plan.py`) of what was measured; this module carries it
out. Any thread may call `plan` (for a user) and `need_models` (to answer a turn); only the
scheduler's thread calls the rest.
"""

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from engines.device.memory import proportional_bytes, trim
from engines.errors import AttuneError
from engines.jobs.footprints import Footprints, footprints_of
from engines.jobs.messages import AdaptJob

from .memory_plan import MICRO_BATCHES, Plan, Resident, plan

_ROOM_SECONDS = 3.0
"""Seconds to wait for a child to free its memory."""

_log = logging.getLogger(__name__)


class MemoryGuard:
    def __init__(
        self,
        budget_bytes: int,
        may_unload: bool,
        footprints: Path,
        bare_bytes: int,
        unload: Callable[[], None],
        load: Callable[[], None],
        measure: Callable[[int | None], int] = proportional_bytes,
    ) -> None:
        """`bare_bytes` is the memory of the daemon before it opened its models. `measure` returns
        the bytes that a process uses, or this process for None."""
        self.budget_bytes = budget_bytes
        self._may_unload = may_unload
        self._path = footprints
        self._bare_bytes = bare_bytes
        self._unload = unload
        self._load = load
        self._measure = measure
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._room.set()
        self._waiting_bytes = 0
        self.unloaded = False
        self.tight = False
        """Whether the running round leaves no room for the models."""

    def plan(self, job: AdaptJob) -> Plan:
        """Plan how `job` would be run. Raises AttuneError if the memory use of one of its stages
        was never measured."""
        footprints, measured_here = footprints_of(job.engines, self._path, job.stages)
        missing = [stage for stage in job.stages if stage not in footprints.stages]
        if missing:
            raise AttuneError(
                f"memory use of the stage `{missing[0]}` has not been measured on this machine; run"
                " `attune calibrate memory`"
            )
        return plan(
            job,
            footprints,
            self.budget_bytes,
            self._resident(footprints),
            self._may_unload,
            measured_here,
        )

    def admit(self, job: AdaptJob) -> tuple[AdaptJob, Plan]:
        """Plan `job` and unload the models if necessary. Returns the job as it is to be run, and
        the plan. Raises AttuneError, and changes nothing, if the job does not fit."""
        made = self.plan(job)
        if made.refusal:
            raise AttuneError(made.refusal)
        if made.unloads:
            self._make_models_leave()
            made = self.plan(job)  # by the memory that is left now, which was only predicted before
            if made.refusal or not made.unloads:
                self.need_models()
            if made.refusal:
                raise AttuneError(made.refusal)
        self.tight = made.unloads
        if self.tight:
            self._room.clear()
        _log.info("a round may take %d MiB of %d", made.peak_bytes >> 20, self.budget_bytes >> 20)
        return job.model_copy(
            update={"micro_batches": max(job.micro_batches, made.micro_batches)}
        ), made

    def _make_models_leave(self) -> None:
        with self._lock:
            if not self.unloaded:
                self._unload()
                self.unloaded = True
        gc.collect()
        trim()

    def make_room(self) -> None:
        """Note that the child is gone: its memory is free."""
        self.tight = False
        self._room.set()

    def need_models(self) -> None:
        """Open the serving models, if they are unloaded, and return once they are open. Waits a few
        seconds for a child to free its memory."""
        self._room.wait(_ROOM_SECONDS)
        with self._lock:
            if self.unloaded:
                self._load()
                self.unloaded = False

    def used_bytes(self, child: int) -> int:
        """Return the bytes that this process and the process `child` use together."""
        return self._measure(None) + self._measure(child)

    def exceeded(self, used: int) -> str:
        """Say why a child must stop if daemon and child use `used` bytes; empty if it need not."""
        return (
            ""
            if used <= self.budget_bytes
            else f"it took {used >> 20} MiB of {self.budget_bytes >> 20} MiB allowed"
        )

    def smaller(self, job: AdaptJob) -> AdaptJob | None:
        """Return `job` in more micro-batches; None if it is in the most that are possible."""
        more = [parts for parts in MICRO_BATCHES if parts > job.micro_batches]
        return job.model_copy(update={"micro_batches": more[0]}) if more else None

    def _resident(self, footprints: Footprints) -> Resident:
        now = self._measure(None)
        if not self.unloaded:
            self._waiting_bytes = now
        unloaded = now if self.unloaded else self._bare_bytes + footprints.left_bytes
        return Resident(
            waiting=self._waiting_bytes, answering=footprints.answering_bytes, unloaded=unloaded
        )
