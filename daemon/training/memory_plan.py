"""Plans how a round must be run to fit the memory that Attune may use, or why it cannot. Pure:
knows no process and no sensor."""

from dataclasses import dataclass, replace

from engines.jobs.footprints import Footprints
from engines.jobs.messages import AdaptJob

MICRO_BATCHES = (1, 2, 4, 8, 16)
"""The numbers of micro-batches into which a training step may be split. Each halves the memory of
the activations of the one before, and is somewhat slower."""
MARGIN = 0.05
"""Share of a stage's predicted memory that is added to it: no two runs allocate alike."""


@dataclass(frozen=True)
class Resident:
    """The memory of the daemon itself, in bytes."""

    waiting: int
    """Bytes with its models open, while nobody talks."""
    answering: int
    """Additional bytes for the longest utterance. Room is kept for them."""
    unloaded: int
    """Bytes with its models unloaded for a round."""


@dataclass(frozen=True)
class PlannedStage:
    """One process of a round."""

    name: str
    predicted_bytes: int
    """The peak of daemon and stage together, while nobody talks."""
    peak_bytes: int
    """The predicted bytes with a margin, and with room for an answer if models stay open."""
    seconds: float
    """Predicted time on an idle machine."""


@dataclass(frozen=True)
class Plan:
    """How a round would be run."""

    stages: tuple[PlannedStage, ...]
    budget_bytes: int
    micro_batches: int
    unloads: bool
    """Whether the serving models are unloaded meanwhile."""
    measured_here: bool
    refusal: str = ""
    """Why the round cannot be run, and the smallest change that would allow it; empty if it can."""

    @property
    def predicted_bytes(self) -> int:
        return max(stage.predicted_bytes for stage in self.stages)

    @property
    def peak_bytes(self) -> int:
        return max(stage.peak_bytes for stage in self.stages)


def plan(
    job: AdaptJob,
    footprints: Footprints,
    budget_bytes: int,
    resident: Resident,
    may_unload: bool,
    measured_here: bool = True,
) -> Plan:
    """Return the plan for `job` that fits and changes it least. If none fits, the plan has a
    refusal that says so.

    The plans are tried in this order: the job as it is, in more micro-batches, with the models
    unloaded.
    """
    tried: list[Plan] = []
    for unloads in (False, True):
        for micro_batches in MICRO_BATCHES:
            asked = job.model_copy(update={"micro_batches": micro_batches})
            found = tuple(_stage(name, asked, footprints, resident, unloads) for name in job.stages)
            one = Plan(found, budget_bytes, micro_batches, unloads, measured_here)
            if one.peak_bytes <= budget_bytes and unloads <= may_unload:
                return one
            tried.append(one)
    least = min(
        (one for one in tried if one.unloads <= may_unload),
        key=lambda one: (one.peak_bytes, one.micro_batches),
    )
    return replace(least, refusal=_refusal(least, tried, budget_bytes))


def _stage(
    name: str, job: AdaptJob, footprints: Footprints, resident: Resident, unloads: bool
) -> PlannedStage:
    predicted = footprints.predicted_bytes(name, job, beside=not unloads)
    room = round(MARGIN * predicted + footprints.stages[name].residual_bytes) + (
        0 if unloads else resident.answering
    )
    together = predicted + (resident.unloaded if unloads else resident.waiting)
    return PlannedStage(name, together, together + room, footprints.predicted_seconds(name, job))


def _refusal(least: Plan, tried: list[Plan], budget_bytes: int) -> str:
    stage = max(least.stages, key=lambda one: one.peak_bytes)
    reason = (
        f"in the stage `{stage.name}` Attune would use {_mib(stage.peak_bytes)} of"
        f" {_mib(budget_bytes)} allowed"
    )
    if any(one.peak_bytes <= budget_bytes for one in tried):
        return f"{reason}; with budget.unload = true it fits"
    best = min(one.peak_bytes for one in tried)
    unloading = (
        "" if least.unloads else " and budget.unload = true" if best < least.peak_bytes else ""
    )
    return f"{reason}; it needs at least budget.bytes = {best}{unloading}"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"
