"""Chooses the route that speech takes, from what the settings ask for, what the current generation
has earned, and what can be opened."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import Generation, judged_against
from engines.generations.pointers import usable
from engines.routes import CascadeRoute, Route, Transcriber
from engines.types import SoftTokens

from .earned_route import WhenUnsure, earned_route, when_unsure
from .lease import LoadedRoute

logger = logging.getLogger(__name__)

Unsure = Literal["auto", "cascade", "ask", "answer"]
_DOUBTED = {
    "cascade": "uses the cascade",
    "ask": "asks the user",
    "answer": "answers anyway",
}


@dataclass(frozen=True)
class RouteTable:
    """The routes that are open, and the one in use."""

    loaded: dict[str, LoadedRoute]
    route: str
    reason: str
    """Why this route is in use, for the user."""
    generation: int | None
    """The generation that is served; None if there is none."""
    problems: list[str]
    """What could not be opened and was skipped, one line each."""
    transcriber: Transcriber | None
    """What the cascade transcribes with; None while the models are unloaded."""


def choose(
    wanted: Literal["auto", "cascade", "aligned"],
    unsure: Unsure,
    generations: Path,
    transcriber: Callable[[Generation | None], Transcriber],
    aligned: Callable[[Generation, bool], Route],
    words_of: Callable[[str | SoftTokens], str],
) -> RouteTable:
    """Open the generation to serve (current, else previous, else the base) and choose between it
    and the cascade.

    `transcriber(generation)` returns what the cascade transcribes with,
    `aligned(generation, unsure_takes_first_pass)` a generation's route. An AttuneError from them
    becomes a problem: the cascade with Whisper as it came is always there. The aligned route loads
    its model now only if it is in use; otherwise it takes no memory until a request asks for it.
    `unsure` says what follows if that route doubts what it heard.
    """
    generation, problems = usable(generations)
    try:
        recogniser = transcriber(generation)
    except AttuneError as error:
        problems = [*problems, str(error)]
        recogniser = transcriber(None)
    loaded = {"cascade": LoadedRoute(CascadeRoute(recogniser), words_of, None)}
    later = judged_against(generations, generation.number) if generation is not None else []
    then = _then(generation, later, unsure)
    route, reason = (
        "cascade",
        "there is no generation for the aligned route; run `attune engines build`",
    )
    if generation is not None:
        try:
            there = _load(generation, then, aligned, words_of)
            earned = (
                earned_route(generation.card, later)
                if wanted == "auto"
                else (wanted, f"conversation.route is {wanted}")
            )
            if earned[0] == "aligned":
                there.route.ready()
            loaded["aligned"] = there
            route, reason = earned
        except AttuneError as error:
            problems = [*problems, str(error)]
    for problem in problems:
        logger.warning("%s", problem)
    number = generation.number if generation is not None and "aligned" in loaded else None
    if route == "aligned" and generation is not None and generation.card.confidence is not None:
        reason += f"; if in doubt, it {_DOUBTED[then]}"
    return RouteTable(loaded, route, reason, number, problems, recogniser)


def load_aligned(
    generation: Generation,
    unsure: Unsure,
    aligned: Callable[[Generation, bool], Route],
    words_of: Callable[[str | SoftTokens], str],
) -> LoadedRoute:
    """Open the aligned route of a generation that was never served. Raises AttuneError if it cannot
    be opened."""
    loaded = _load(generation, _then(generation, [], unsure), aligned, words_of)
    loaded.route.ready()
    return loaded


def _load(
    generation: Generation,
    then: WhenUnsure,
    aligned: Callable[[Generation, bool], Route],
    words_of: Callable[[str | SoftTokens], str],
) -> LoadedRoute:
    return LoadedRoute(
        aligned(generation, then == "cascade"),
        words_of,
        generation.number,
        then == "ask",
        generation.adapter,
    )


def _then(generation: Generation | None, later: Sequence[Card], unsure: Unsure) -> WhenUnsure:
    """Return what follows if `generation` doubts what it heard."""
    if unsure != "auto":
        return unsure
    return when_unsure(generation.card, later) if generation is not None else "cascade"
