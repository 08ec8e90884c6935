"""What can be asked of a running daemon through the control socket: each command a checked request, answered by events."""

import queue
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from engines.audio import read_audio
from engines.errors import AttuneError
from engines.generation import read_generation
from engines.pointers import promote, rollback
from engines.segmenter import SegmenterLimits

from .adaptation import Adaptation
from .attention import Attention
from .budget import Plan
from .conversation import Conversation
from .enrolment import MAX_SECONDS, enroll
from .events import Event, Events
from .explain import SHOWN, explained
from .hearing import hear_recording
from .metrics import Metrics
from .serving import Serving
from .shadow_readings import ShadowReadings
from .shadow_verdict import same_words
from .store import MAX_LABEL_CHARACTERS, Store

_ALIVE_SECONDS = 10.0
_MAX_TEXT_CHARACTERS = 8000
_SHOWN_MOVES = 5


@dataclass(frozen=True)
class Service:
    """The parts of a running daemon that commands reach."""

    conversation: Conversation
    serving: Serving
    attention: Attention
    events: Events
    store: Store
    adaptation: Adaptation
    generations: Path
    segmenter: SegmenterLimits
    status: Callable[[], Event]
    metrics: Metrics
    reload: Callable[[], None]
    """Serve what `current` points to now. Raises AttuneError where that cannot be served."""
    plan: Callable[[], Plan]
    """How a round would be run now. Raises AttuneError where there is nothing to learn from."""
    corrected: Callable[[], None]
    """Called after each correction."""
    shadow_readings: ShadowReadings
    start_anew: Callable[[], None]
    """Have the settings read again, once what is being answered is."""


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(_Request):
    command: Literal["status"]


class ShowMetrics(_Request):
    command: Literal["metrics"]


class Reload(_Request):
    """Read the settings again, and open what was built since; who asks meanwhile waits."""

    command: Literal["reload"]


class Ask(_Request):
    """`text` or `audio`, answered through `route` or the one in use."""

    command: Literal["ask"]
    text: str | None = Field(None, min_length=1, max_length=_MAX_TEXT_CHARACTERS)
    audio: Path | None = None
    route: str | None = None


class Listen(_Request):
    """`audio` played through the capture path; `speed` 0 does not wait for real time."""

    command: Literal["listen"]
    audio: Path
    speed: float = Field(0.0, ge=0, le=1000)
    route: str | None = None


class Follow(_Request):
    command: Literal["events"]


class Adapt(_Request):
    """Start a round now and follow it, follow the one that runs, cancel it, or say what one would take."""

    command: Literal["adapt"]
    action: Literal["start", "cancel", "plan"] = "start"


class Correct(_Request):
    """Say what was said in turn `turn`, or in the last that was spoken."""

    command: Literal["correct"]
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)
    turn: int | None = None


class Enroll(_Request):
    command: Literal["enroll"]
    manifest: Path


class Why(_Request):
    """How the last round ended, and what speaks for and against the generation that it wrote, or for generation `number`."""

    command: Literal["why"]
    number: int | None = None


class Generations(_Request):
    """Move the pointer. What there is can be read from the disk."""

    command: Literal["generations"]
    action: Literal["promote", "rollback"]
    number: int | None = None


_AnyRequest = Annotated[
    Status | ShowMetrics | Reload | Ask | Listen | Follow | Adapt | Correct | Enroll | Why | Generations,
    Field(discriminator="command"),
]
_REQUESTS: TypeAdapter[_AnyRequest] = TypeAdapter(_AnyRequest)


def answer(service: Service, request: Event) -> Generator[Event, None, None]:
    """Carry out one request. Raises AttuneError where it is malformed or fails."""
    try:
        checked = _REQUESTS.validate_python(request)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the request"
        raise AttuneError(f"{where}: {first['msg']}; `attune --help` lists the commands") from error
    events: Generator[Event, None, None]
    match checked:
        case Status():
            events = _one(service.status())
        case ShowMetrics():
            events = _one({"event": "metrics", "text": service.metrics.text()})
        case Reload():
            service.start_anew()
            events = _one({"event": "reloading"})
        case Ask():
            events = _ask(service, checked)
        case Listen():
            events = hear_recording(
                checked.audio,
                checked.speed,
                checked.route,
                service.conversation,
                service.attention,
                service.events,
                service.segmenter,
            )
        case Follow():
            events = _follow(service)
        case Adapt():
            events = _adapt(service, checked)
        case Correct():
            events = _correct(service, checked)
        case Enroll():
            events = _enroll(service, checked)
        case Why():
            events = _one(_why(service, checked))
        case Generations():
            events = _generations(service, checked)
    for event in events:
        yield to_jsonable_python(event)


def _one(event: Event) -> Generator[Event, None, None]:
    yield event


def _ask(service: Service, request: Ask) -> Generator[Event, None, None]:
    if (request.text is None) == (request.audio is None):
        raise AttuneError("ask takes either a text or a recording")
    if request.text is not None:
        yield from service.conversation.ask(request.text, "text", request.route)
    elif request.audio is not None:
        yield from service.conversation.ask(read_audio(request.audio, MAX_SECONDS), "file", request.route)


def _follow(service: Service) -> Generator[Event, None, None]:
    with service.events.follow() as happening:
        yield {"event": "following"}
        while True:
            try:
                yield happening.get(timeout=_ALIVE_SECONDS)
            except queue.Empty:
                yield {"event": "alive"}  # a client that left is noticed by writing to it


def _adapt(service: Service, request: Adapt) -> Generator[Event, None, None]:
    if request.action == "cancel":
        service.adaptation.cancel()
        yield {"event": "adaptation", **service.adaptation.status()}
        return
    if request.action == "plan":
        made = service.plan()
        yield {"event": "plan", "predicted_bytes": made.predicted_bytes, "peak_bytes": made.peak_bytes, **asdict(made)}
        return
    steps: queue.SimpleQueue[Event] = queue.SimpleQueue()
    unsubscribe = service.adaptation.subscribe(steps.put)
    try:
        service.adaptation.run_now()
        outcome = None
        while outcome is None:
            try:
                status = steps.get(timeout=_ALIVE_SECONDS)
            except queue.Empty:
                status = service.adaptation.status()
            outcome = status.get("outcome") or ("cancelled" if status["state"] == "stopped" else None)
            yield {"event": "adaptation", **status}
    finally:
        unsubscribe()


def _correct(service: Service, request: Correct) -> Generator[Event, None, None]:
    turn = service.store.last_spoken_turn() if request.turn is None else service.store.turn(request.turn)
    if turn is None:
        what = "nothing was said yet" if request.turn is None else f"there is no turn {request.turn}"
        raise AttuneError(f"{what}, so there is nothing to correct; `attune status` shows the last turns")
    if turn.utterance is None:
        raise AttuneError(f"turn {turn.id} has no stored audio (it was typed, or audio.keep is off), so it cannot be learnt from")
    service.store.add_label(turn.utterance, request.text, "corrected")
    service.corrected()
    yield {"event": "corrected", "turn": turn.id, "utterance": turn.utterance, "heard": turn.heard, "text": request.text}


def _enroll(service: Service, request: Enroll) -> Generator[Event, None, None]:
    service.attention.begin()  # no round starts on half of what is being enrolled
    try:
        yield from enroll(request.manifest, service.store)
    finally:
        service.attention.end()


def _why(service: Service, request: Why) -> Event:
    last = service.store.last_round()
    number = last.generation if request.number is None and last else request.number
    found: Event = {
        "event": "why",
        "round": None,
        "generation": None,
        "shadow": None,
        "problem": "",
        "moves": service.store.last_moves(_SHOWN_MOVES),
    }
    if request.number is None:
        if last is None:
            raise AttuneError("no round has ended yet; `attune status` says what it waits for")
        found["round"] = {"ended_at": last.ended_at, "outcome": last.outcome, "reason": last.reason}
    folder = service.generations / f"{number:04d}" if number is not None else None
    if folder is not None and (folder.exists() or request.number is not None):  # that of the last round may have gone since
        try:
            card = read_generation(folder).card
        except AttuneError as error:
            if request.number is not None:
                raise
            return {**found, "problem": str(error)}
        found["generation"] = explained(card, service.store.text_of)
        heard = service.shadow_readings.compared(card.number)
        otherwise = [asdict(one) for one in heard if not same_words(one.heard, one.shadow_heard)]
        found["shadow"] = {"turns": len(heard), "otherwise": otherwise[-SHOWN:]}
    return found


def _generations(service: Service, request: Generations) -> Generator[Event, None, None]:
    if request.action == "rollback":
        chosen = rollback(service.generations)
    elif request.number is None:
        raise AttuneError("promote takes the number of a generation; `attune generations list` shows them")
    else:
        chosen = promote(service.generations, request.number)
    service.reload()
    service.store.add_move(chosen.number, f"{request.action} by hand")
    yield {"event": "serving", "generation": chosen.number, "route": service.serving.route}
