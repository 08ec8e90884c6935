"""The models that clients may name. Any other name stands for the one in use: clients have names of
their own built in."""

from typing import Generic, Literal, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel

from ..context import offered_by
from ..errors import RefusedError
from ..offered import Offered, Running

NAME = "attune"
_ABOUT = {
    NAME: "what this user has now",
    "attune-cascade": "speech to text first, whatever the user's own route is",
    "attune-previous": "speech to text by what the user had before",
    "attune-base": "speech to text as it came, without anything that was learnt",
}
router = APIRouter(tags=["models"])
One = TypeVar("One")


class Model(BaseModel):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "attune"
    description: str = ""


class Listed(BaseModel, Generic[One]):
    """A list, or a part of one."""

    object: Literal["list"] = "list"
    data: list[One]
    has_more: bool = False


class Voice(BaseModel):
    """One voice."""

    id: str
    name: str
    description: str


class Voices(BaseModel):
    """All voices that are ready."""

    voices: list[Voice]


def route_of(model: str, running: Running) -> str | None:
    """The route that a model's name stands for; None for the one in use. Raises RefusedError where
    there is none now."""
    if model == NAME or model not in _ABOUT:
        return None
    route = model.removeprefix(f"{NAME}-")
    if route not in running.lender.routes:
        raise RefusedError(404, f"there is no model {model!r} now", "model_not_found", "model")
    return route


def _listed(offered: Offered) -> list[Model]:
    found = offered.running()
    routes = found.lender.routes if found is not None else frozenset()
    return [
        Model(id=name, created=offered.started_unix_seconds, description=about)
        for name, about in _ABOUT.items()
        if name == NAME or name.removeprefix(f"{NAME}-") in routes
    ]


@router.get("/v1/models")
async def list_models(request: Request) -> Listed[Model]:
    """List the models."""
    return Listed(data=_listed(offered_by(request)))


@router.get("/v1/models/{model}")
async def retrieve_model(request: Request, model: str) -> Model:
    """Describe one model."""
    for one in _listed(offered_by(request)):
        if one.id == model:
            return one
    raise RefusedError(404, f"there is no model {model[:100]!r}", "model_not_found", "model")


@router.get("/v1/audio/models")
async def list_audio_models(request: Request) -> Listed[Model]:
    """List the models, for clients that ask for those of sound apart."""
    return Listed(data=_listed(offered_by(request)))


@router.get("/v1/audio/voices")
def list_voices(request: Request) -> Voices:
    """List the voices that are ready."""
    ready = [one for one in offered_by(request).voices() if not one.missing]
    return Voices(
        voices=[Voice(id=one.name, name=one.name, description=one.about) for one in ready]
    )
