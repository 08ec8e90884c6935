"""Whether the daemon lives, whether it can serve, and its metrics."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from .context import offered_by, running
from .errors import RETRY_SECONDS

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """How it is."""

    status: str


@router.get("/health/live")
async def live() -> Health:
    """Tell that the daemon answers."""
    return Health(status="alive")


@router.get("/health/ready", response_model=Health, responses={503: {"model": Health}})
async def ready(request: Request) -> Health | JSONResponse:
    """Tell whether the models are open."""
    if offered_by(request).running() is None:
        return JSONResponse(
            {"status": "opening the models"}, 503, {"Retry-After": str(RETRY_SECONDS)}
        )
    return Health(status="ready")


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> PlainTextResponse:
    """The metrics in Prometheus' text format."""
    text = running(offered_by(request)).metrics()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
