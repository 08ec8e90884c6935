"""`/v1/fine_tuning/jobs`: rounds of training, as OpenAI's clients know them. There is nothing to
upload: a round learns from what the user said."""

import asyncio
from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from ...control.requests import Adapt
from ...events.learning import AdaptationChanged, AdaptationStatus
from ...store.records import Round
from ..context import offered_by, place, running
from ..errors import BusyError, RefusedError
from ..offered import Running
from ..work import produced
from .models import NAME, Listed

router = APIRouter(prefix="/v1/fine_tuning", tags=["fine tuning"])
_LISTED = 100
_START_SECONDS = 30.0
_ID = "ftjob-"
JobStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
_ENDED: dict[str, JobStatus] = {
    "promoted": "succeeded",
    "shadowed": "succeeded",
    "refused": "failed",
    "failed": "failed",
    "cancelled": "cancelled",
}


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class Job(BaseModel):
    """One round."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None = None
    model: str = NAME
    fine_tuned_model: str | None = None
    status: JobStatus
    error: JobError | None = None
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    method: dict[str, Any] = Field(default_factory=lambda: {"type": "supervised"})
    organization_id: str = "attune"
    result_files: list[str] = Field(default_factory=list)
    seed: int = 0
    trained_tokens: int | None = None
    training_file: str = ""
    validation_file: str | None = None
    note: str = Field("", description="What the round does, or how it ended.")
    progress: float | None = Field(None, description="The share of its stage that is done.")


class JobEvent(BaseModel):
    """What happened in a round."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"] = "info"
    message: str
    type: Literal["message"] = "message"
    data: dict[str, Any] = Field(default_factory=dict)


class Checkpoint(BaseModel):
    """A generation that a round wrote."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: dict[str, float] = Field(default_factory=dict)
    step_number: int


class JobRequest(BaseModel):
    """A round that is to start. All that other servers want is passed over."""

    model: str = Field(NAME, max_length=200)


@router.post("/jobs")
async def create(request: Request, given: JobRequest) -> Job:
    """Start a round, or follow the one that runs. What a round needs and lacks is told as an
    error."""
    ready = running(offered_by(request))
    before = await asyncio.to_thread(ready.last_rounds, 1)
    try:
        async with asyncio.timeout(_START_SECONDS):
            ended = await _started(request, ready)
    except TimeoutError as error:
        raise BusyError("the round has not begun yet; look for it in a moment") from error
    if ended and await asyncio.to_thread(ready.last_rounds, 1) == before:
        raise RefusedError(400, f"no round was started: {ended}", "not_started")
    return (await asyncio.to_thread(_jobs, ready))[0]


async def _started(request: Request, ready: Running) -> str:
    """Ask for a round, and wait until it has begun. Returns how it has ended already; empty if it
    has not."""
    with place(request) as threads:
        steps = produced(threads, lambda client: ready.answer(Adapt(), client))
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, AdaptationChanged):
                    if step.outcome is not None:
                        return step.last_reason or step.outcome
                    if step.state != "waiting":
                        return ""
    return "it was stopped"


@router.get("/jobs")
def list_jobs(
    request: Request,
    limit: int = Query(20, ge=1, le=_LISTED),
    after: str = Query("", max_length=99),
) -> Listed[Job]:
    """List the rounds, the newest first."""
    found = _jobs(running(offered_by(request)))
    names = [job.id for job in found]
    first = names.index(after) + 1 if after in names else 0
    return Listed(data=found[first : first + limit], has_more=len(found) > first + limit)


@router.get("/jobs/{name}")
def retrieve(request: Request, name: str) -> Job:
    """Describe one round."""
    return _find(running(offered_by(request)), name)


@router.get("/jobs/{name}/events")
def list_events(request: Request, name: str) -> Listed[JobEvent]:
    """Tell what happened in a round."""
    job = _find(running(offered_by(request)), name)
    told = [(job.created_at, "the round has begun")]
    if job.note:
        told.append((job.finished_at or job.created_at, job.note))
    level: Literal["info", "error"] = "error" if job.status == "failed" else "info"
    return Listed(
        data=[
            JobEvent(
                id=f"{job.id}-{number}",
                created_at=at,
                message=message,
                level=level if number == 1 else "info",
            )
            for number, (at, message) in reversed(list(enumerate(told)))
        ]
    )


@router.get("/jobs/{name}/checkpoints")
def list_checkpoints(request: Request, name: str) -> Listed[Checkpoint]:
    """List the generation that a round wrote, if it wrote one."""
    job = _find(running(offered_by(request)), name)
    if job.fine_tuned_model is None:
        return Listed(data=[])
    number = int(job.fine_tuned_model.rpartition(":")[2])
    found = Checkpoint(
        id=f"ftckpt-{number:04d}",
        created_at=job.finished_at or job.created_at,
        fine_tuned_model_checkpoint=job.fine_tuned_model,
        fine_tuning_job_id=job.id,
        step_number=number,
    )
    return Listed(data=[found])


@router.post("/jobs/{name}/cancel")
async def cancel(request: Request, name: str) -> Job:
    """End a running round."""
    ready = running(offered_by(request))
    ready.hold_training(False)
    await asyncio.to_thread(_running, ready, name)
    with place(request) as threads:
        steps = produced(threads, lambda client: ready.answer(Adapt(action="cancel"), client))
        async with aclosing(steps):
            async for _ in steps:
                pass
    until = asyncio.get_running_loop().time() + _START_SECONDS
    while asyncio.get_running_loop().time() < until:
        job = await asyncio.to_thread(_find, ready, name)
        if job.status not in ("running", "paused"):
            return job
        await asyncio.sleep(0.05)
    raise BusyError("the round has not ended yet; look again in a moment")


@router.post("/jobs/{name}/pause")
def pause(request: Request, name: str) -> Job:
    """Let a running round stand still until it is resumed."""
    ready = running(offered_by(request))
    job = _running(ready, name)
    ready.hold_training(True)
    return job.model_copy(update={"status": "paused"})


@router.post("/jobs/{name}/resume")
def resume(request: Request, name: str) -> Job:
    """Let a round go on."""
    ready = running(offered_by(request))
    ready.hold_training(False)
    job = _running(ready, name)
    return job.model_copy(update={"status": "running"})


def _jobs(ready: Running) -> list[Job]:
    current = _current(ready)
    ended = [_ended(one) for one in ready.last_rounds(_LISTED)]
    return [current, *ended] if current is not None else ended


def _find(ready: Running, name: str) -> Job:
    for job in _jobs(ready):
        if job.id == name:
            return job
    raise RefusedError(404, f"there is no job {name[:100]!r}", "not_found", "fine_tuning_job_id")


def _running(ready: Running, name: str) -> Job:
    job = _find(ready, name)
    if job.finished_at is not None:
        raise RefusedError(400, f"the job {name} has ended: {job.status}", "job_ended")
    return job


def _current(ready: Running) -> Job | None:
    """The round that runs; None if none does."""
    now: AdaptationStatus = ready.adaptation()
    if now.state not in ("training", "paused", "judging") or now.round_started_at is None:
        return None
    return Job(
        id=_name(now.round_started_at),
        created_at=int(now.round_started_at),
        status="paused" if now.state == "paused" else "running",
        note=f"{now.stage}: {now.note}" if now.note else now.stage,
        progress=now.fraction,
    )


def _ended(one: Round) -> Job:
    status = _ENDED[one.outcome]
    return Job(
        id=_name(one.started_at),
        created_at=int(one.started_at),
        finished_at=int(one.ended_at),
        status=status,
        fine_tuned_model=None if one.generation is None else f"{NAME}:{one.generation:04d}",
        error=JobError(code=one.outcome, message=one.reason) if status == "failed" else None,
        note=one.reason,
    )


def _name(started_at: float) -> str:
    return f"{_ID}{round(1000 * started_at)}"
