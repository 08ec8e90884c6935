"""Chooses the route that speech takes, from what the settings ask for, what the current generation
has earned, and what can be opened."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import Generation, judged_against
from engines.generations.pointers import previous, usable
from engines.routes import CascadeRoute, LaterCascade, Route, Transcriber
from engines.types import SoftTokens, Transcript

from ..store.records import FIRST_USER
from .earned_route import WhenUnsure, earned_route, when_unsure
from .lease import LoadedRoute

logger = logging.getLogger(__name__)

WantedRoute = Literal["auto", "cascade", "aligned"]
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
    cascade: CascadeRoute | None
    """The cascade, which also writes labels; None while the models are unloaded."""
    compared: dict[str, LoadedRoute] = field(default_factory=dict)
    """Routes that serve nobody by themselves, for whoever wants to compare: `base`, Whisper as it
    came, and `previous`, the recogniser of the generation before. Each opens its model when it is
    used first."""


def choose(
    wanted: WantedRoute,
    unsure: Unsure,
    generations: Path,
    transcriber: Callable[[Generation | None], Transcriber],
    aligned: Callable[[Generation, bool], Route],
    words_of: Callable[[Transcript | SoftTokens], str],
    user: int = FIRST_USER,
) -> RouteTable:
    """Open the generation to serve (current, else previous, else the base) and choose between it
    and the cascade.

    `transcriber(generation)` returns what the cascade transcribes with,
    `aligned(generation, unsure_takes_cascade)` a generation's route. An AttuneError from them
    becomes a problem: the cascade with Whisper as it came is always there. What rounds of `user`
    have shown of the generation counts. The aligned route loads
    its model now only if it is in use; otherwise it takes no memory until a request asks for it.
    `unsure` says what follows if a route doubts what it heard.
    """
    generation, problems = usable(generations)
    try:
        recogniser = transcriber(generation)
        confidence = generation.card.transcript_confidence if generation is not None else None
    except AttuneError as error:
        problems = [*problems, str(error)]
        recogniser, confidence = transcriber(None), None
    cascade = CascadeRoute(recogniser, confidence)
    loaded = {"cascade": _cascade(cascade, unsure, words_of)}
    later = judged_against(generations, generation.number, user) if generation is not None else []
    then = _then(generation, later, unsure)
    route, reason = (
        "cascade",
        "there is no generation for the aligned route; run `attune engines build`",
    )
    number = None
    if generation is not None and generation.projector is None:
        number = generation.number
        reason = "there is no projector for the aligned route with this speech model"
        if wanted == "aligned":
            problems = [*problems, f"conversation.route is aligned, but {reason}"]
    elif generation is not None:
        try:
            there = _aligned(generation, then, unsure, aligned, words_of)
            earned = (
                earned_route(generation.card, later)
                if wanted == "auto"
                else (wanted, f"conversation.route is {wanted}")
            )
            if earned[0] == "aligned":
                there.route.ready()
            loaded["aligned"] = there
            route, reason = earned
            number = generation.number
        except AttuneError as error:
            problems = [*problems, str(error)]
    for problem in problems:
        logger.warning("%s", problem)
    if route == "aligned" and generation is not None and generation.card.confidence is not None:
        reason += f"; if in doubt, it {_DOUBTED[then]}"
        if then == "cascade" and loaded["aligned"].asks_back:
            reason += f", and if that is in doubt, {_DOUBTED['ask']}"
    elif route == "cascade" and confidence is not None:
        reason += f"; if in doubt, it {_DOUBTED['ask' if loaded[route].asks_back else 'answer']}"
    served = generation.number if generation is not None else None
    compared = _compared(generations, served, unsure, transcriber, words_of)
    return RouteTable(loaded, route, reason, number, problems, cascade, compared)


def _compared(
    generations: Path,
    served: int | None,
    unsure: Unsure,
    transcriber: Callable[[Generation | None], Transcriber],
    words_of: Callable[[Transcript | SoftTokens], str],
) -> dict[str, LoadedRoute]:
    found = {"base": LoadedRoute(LaterCascade(partial(transcriber, None)), words_of, None)}
    try:
        before = previous(generations)
    except AttuneError:
        before = None  # it is damaged, and nothing needs it
    # After a rollback both pointers are at the same one.
    if before is not None and before.recogniser is not None and before.number != served:
        confidence = before.card.transcript_confidence
        later = LaterCascade(partial(transcriber, before), confidence)
        asks_back = confidence is not None and unsure in ("auto", "ask")
        found["previous"] = LoadedRoute(later, words_of, None, asks_back)
    return found


def load_unserved(
    generation: Generation,
    wanted: WantedRoute,
    unsure: Unsure,
    transcriber: Callable[[Generation | None], Transcriber],
    aligned: Callable[[Generation, bool], Route],
    words_of: Callable[[Transcript | SoftTokens], str],
) -> LoadedRoute:
    """Open the route on which a generation that was never served would be: the cascade through its
    recogniser, or the aligned route. Raises AttuneError if it cannot be opened."""
    route = earned_route(generation.card)[0] if wanted == "auto" else wanted
    if generation.projector is None or (route == "cascade" and generation.recogniser is not None):
        cascade = CascadeRoute(transcriber(generation), generation.card.transcript_confidence)
        return _cascade(cascade, unsure, words_of)
    loaded = _aligned(generation, _then(generation, [], unsure), unsure, aligned, words_of)
    loaded.route.ready()
    return loaded


def _cascade(
    route: CascadeRoute, unsure: Unsure, words_of: Callable[[Transcript | SoftTokens], str]
) -> LoadedRoute:
    asks_back = route.confidence is not None and unsure in ("auto", "ask")
    return LoadedRoute(route, words_of, None, asks_back)


def _aligned(
    generation: Generation,
    then: WhenUnsure,
    unsure: Unsure,
    aligned: Callable[[Generation, bool], Route],
    words_of: Callable[[Transcript | SoftTokens], str],
) -> LoadedRoute:
    doubts_transcripts = generation.card.transcript_confidence is not None
    return LoadedRoute(
        aligned(generation, then == "cascade"),
        words_of,
        generation.number,
        then == "ask" or (unsure == "auto" and doubts_transcripts),
        generation.adapter,
    )


def _then(generation: Generation | None, later: Sequence[Card], unsure: Unsure) -> WhenUnsure:
    """Return what follows if `generation` doubts what it heard."""
    if unsure != "auto":
        return unsure
    return when_unsure(generation.card, later) if generation is not None else "cascade"
