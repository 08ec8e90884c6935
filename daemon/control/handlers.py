"""What can be asked of a running daemon through the control socket: each command a checked request,
answered by events."""

import queue
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from engines.audio.recordings import read_audio
from engines.audio.segmenter import SegmenterLimits
from engines.errors import AttuneError
from engines.generations.folder import MAX_NUMBER, read_generation
from engines.open_file import OpenFile
from engines.schema import Frozen, first_problem

from ..attention import Attention
from ..clients import Client
from ..conversation.conversation import Conversation
from ..conversation.speech_input import hear_recording
from ..events import Event, Events
from ..promotion.report import SHOWN, explained
from ..promotion.shadow_readings import ShadowReadings
from ..promotion.verdict import would_refuse
from ..serving.lease import ModelLease
from ..serving.moves import Moves
from ..store.label_check import TOLD, label_fault, same_words
from ..store.store import MAX_LABEL_CHARACTERS, Store
from ..training.memory_plan import Plan
from ..training.scheduler import Adaptation
from . import row_stream
from .enrolment import MAX_SECONDS, take_up
from .metrics import Metrics
from .row_stream import MAX_NAME_CHARACTERS

_ALIVE_SECONDS = 10.0
_MAX_TEXT_CHARACTERS = 8000
_SHOWN_MOVES = 5
_MAX_ID = 2**63 - 1
"""In SQLite."""
_LEFT: Event = {"event": "left"}
"""Wakes who waits for something to tell to a client that has left."""


@dataclass(frozen=True)
class Service:
    """The parts of a running daemon that commands reach."""

    conversation: Conversation
    serving: ModelLease
    attention: Attention
    events: Events
    store: Store
    adaptation: Adaptation
    generations: Path
    segmenter: SegmenterLimits
    status: Callable[[], Event]
    metrics: Metrics
    moves: Moves
    plan: Callable[[], Plan]
    """How a round would be run now. Raises AttuneError where there is nothing to learn from."""
    corrected: Callable[[], None]
    """Called after each correction."""
    shadow_readings: ShadowReadings
    start_anew: Callable[[], "Future[None]"]
    """Have the settings read again, once what is being answered is; the result is AttuneError where
    they are refused."""


class _Request(Frozen):
    descriptors: tuple[int, ...] = ()
    """Open files that came with it; the control socket closes them when it is answered."""

    @model_validator(mode="after")
    def _has_no_nul(self) -> Self:
        """Neither a text nor the name of a file holds one."""
        if any("\0" in str(value) for _, value in self):
            raise ValueError("a NUL character is part of no text and of no name")
        return self


class Status(_Request):
    command: Literal["status"]


class ShowMetrics(_Request):
    command: Literal["metrics"]


class Reload(_Request):
    """Read the settings again, and open what was built since; who asks meanwhile waits."""

    command: Literal["reload"]


class Ask(_Request):
    """`text` or the recording that is handed over, which messages call `audio`, answered through
    `route` or the one in use."""

    command: Literal["ask"]
    text: str | None = Field(None, min_length=1, max_length=_MAX_TEXT_CHARACTERS)
    audio: str | None = Field(None, max_length=MAX_NAME_CHARACTERS)
    route: str | None = None


class Listen(_Request):
    """The recording that is handed over, which messages call `audio`, played through the capture
    path; `speed` 0 does not wait for real time."""

    command: Literal["listen"]
    audio: str = Field(max_length=MAX_NAME_CHARACTERS)
    speed: float = Field(0.0, ge=0, le=1000)
    route: str | None = None


class Follow(_Request):
    command: Literal["events"]


class Adapt(_Request):
    """Start a round now and follow it, follow the one that runs, cancel it, or say what one would
    take."""

    command: Literal["adapt"]
    action: Literal["start", "cancel", "plan"] = "start"


class Correct(_Request):
    """Say what was said in turn `turn`, or in the last that was spoken."""

    command: Literal["correct"]
    text: str = Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)
    turn: int | None = Field(None, ge=0, le=_MAX_ID)


class Enroll(_Request):
    """Take up what comes through the socket that is handed over: rows, each with its open
    recording. With `replace` their texts take the place of those that the recordings were labelled
    with before."""

    command: Literal["enroll"]
    replace: bool = False


class Why(_Request):
    """How the last round ended, and what speaks for and against the generation that it wrote, or
    for generation `number`."""

    command: Literal["why"]
    number: int | None = Field(None, ge=0, le=MAX_NUMBER)


class Generations(_Request):
    """Move the pointer. What there is can be read from the disk."""

    command: Literal["generations"]
    action: Literal["promote", "rollback"]
    number: int | None = Field(None, ge=0, le=MAX_NUMBER)


_AnyRequest = Annotated[
    Status
    | ShowMetrics
    | Reload
    | Ask
    | Listen
    | Follow
    | Adapt
    | Correct
    | Enroll
    | Why
    | Generations,
    Field(discriminator="command"),
]
_REQUESTS: TypeAdapter[_AnyRequest] = TypeAdapter(_AnyRequest)


def answer(service: Service, request: Event, client: Client) -> Generator[Event, None, None]:
    """Carry out one request of `client`. Raises AttuneError where it is malformed or fails."""
    try:
        checked = _REQUESTS.validate_python(request)
    except ValidationError as error:
        where, what = first_problem(error)
        told = f"{where or 'the request'}: {what}"
        raise AttuneError(f"{told}; `attune --help` lists the commands") from error
    events: Generator[Event, None, None]
    match checked:
        case Status():
            events = _one(service.status())
        case ShowMetrics():
            events = _one({"event": "metrics", "text": service.metrics.text()})
        case Reload():
            events = _reload(service)
        case Ask():
            events = _ask(service, checked, client)
        case Listen():
            events = _listen(service, checked, client)
        case Follow():
            events = _follow(service, client)
        case Adapt():
            events = _adapt(service, checked, client)
        case Correct():
            events = _correct(service, checked)
        case Enroll():
            events = _enroll(service, _handed(checked, "the rows of an enrolment"), checked.replace)
        case Why():
            events = _one(_why(service, checked))
        case Generations():
            events = _generations(service, checked)
    with closing(events):
        for event in events:
            yield to_jsonable_python(event)


def _one(event: Event) -> Generator[Event, None, None]:
    yield event


def _reload(service: Service) -> Generator[Event, None, None]:
    asked = service.start_anew()
    yield {"event": "reloading"}
    asked.result()


def _ask(service: Service, request: Ask, client: Client) -> Generator[Event, None, None]:
    if (request.text is None) == (request.audio is None):
        raise AttuneError("ask takes either a text or a recording")
    if request.text is not None:
        yield from service.conversation.ask(request.text, "text", request.route, client)
    elif request.audio is not None:
        with OpenFile.of_descriptor(_handed(request, request.audio), request.audio) as recording:
            samples = read_audio(recording, MAX_SECONDS)
        yield from service.conversation.ask(samples, "file", request.route, client)


def _listen(service: Service, request: Listen, client: Client) -> Generator[Event, None, None]:
    with OpenFile.of_descriptor(_handed(request, request.audio), request.audio) as recording:
        yield from hear_recording(
            recording,
            request.speed,
            request.route,
            service.conversation,
            service.attention,
            service.events,
            service.segmenter,
            client,
        )


def _handed(request: _Request, what: str) -> int:
    """The descriptor that came with a request. Raises AttuneError where there is none, or more than
    one."""
    if len(request.descriptors) != 1:
        raise AttuneError(
            f"{what} did not come as one open descriptor with the request, and the daemon opens no"
            " file that a client names; use the command line, which hands it over"
        )
    return request.descriptors[0]


def _follow(service: Service, client: Client) -> Generator[Event, None, None]:
    def left() -> None:
        with suppress(queue.Full):  # then nobody waits for the next event
            happening.put_nowait(_LEFT)

    with service.events.follow() as happening, client.telling(left):
        yield {"event": "following"}
        while not client.left:
            try:
                event = happening.get(timeout=_ALIVE_SECONDS)
            except queue.Empty:
                event = {"event": "alive"}
            yield event


def _adapt(service: Service, request: Adapt, client: Client) -> Generator[Event, None, None]:
    if request.action == "cancel":
        service.adaptation.cancel()
        yield {"event": "adaptation", **service.adaptation.status()}
        return
    if request.action == "plan":
        made = service.plan()
        yield {
            "event": "plan",
            "predicted_bytes": made.predicted_bytes,
            "peak_bytes": made.peak_bytes,
            **asdict(made),
        }
        return
    steps: queue.SimpleQueue[Event] = queue.SimpleQueue()
    unsubscribe = service.adaptation.subscribe(steps.put)
    try:
        service.adaptation.run_now()
        with client.telling(lambda: steps.put(_LEFT)):
            yield from _until_outcome(service.adaptation, steps)
    finally:
        unsubscribe()


def _until_outcome(
    adaptation: Adaptation, steps: "queue.SimpleQueue[Event]"
) -> Generator[Event, None, None]:
    """What a round does, until it has an outcome or the client has left."""
    outcome = None
    while outcome is None:
        try:
            status = steps.get(timeout=_ALIVE_SECONDS)
        except queue.Empty:
            status = adaptation.status()
        if status is _LEFT:
            return
        outcome = status.get("outcome") or ("cancelled" if status["state"] == "stopped" else None)
        yield {"event": "adaptation", **status}


def _correct(service: Service, request: Correct) -> Generator[Event, None, None]:
    turn = (
        service.store.last_spoken_turn()
        if request.turn is None
        else service.store.turn(request.turn)
    )
    if turn is None:
        what = (
            "nothing was said yet" if request.turn is None else f"there is no turn {request.turn}"
        )
        raise AttuneError(
            f"{what}, so there is nothing to correct; `attune status` shows the last turns"
        )
    if turn.utterance is None:
        raise AttuneError(
            f"turn {turn.id} has no stored audio (it was typed, or audio.keep is off), so it cannot"
            " be learnt from"
        )
    utterance = service.store.utterance(turn.utterance)
    fault = label_fault(request.text, utterance.seconds if utterance is not None else 0.0)
    if fault is not None:
        raise AttuneError(
            f"turn {turn.id} cannot have been that: {TOLD[fault]}; give the words that were said"
        )
    service.store.add_label(turn.utterance, request.text, "corrected")
    service.corrected()
    yield {
        "event": "corrected",
        "turn": turn.id,
        "utterance": turn.utterance,
        "heard": turn.heard,
        "text": request.text,
    }


def _enroll(service: Service, descriptor: int, replace: bool) -> Generator[Event, None, None]:
    service.attention.begin()  # no round starts on half of what is being enrolled
    try:
        with closing(row_stream.receive(descriptor)) as rows:
            yield from take_up(rows, service.store, replace)
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
    # That of the last round may have gone since.
    if folder is not None and (folder.exists() or request.number is not None):
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
        chosen = service.moves.roll_back("rollback by hand")
    elif request.number is None:
        raise AttuneError(
            "promote takes the number of a generation; `attune generations list` shows them"
        )
    else:
        chosen = service.moves.promote(request.number, "promote by hand")
    warning = would_refuse(chosen.card)
    yield {
        "event": "serving",
        "generation": chosen.number,
        "route": service.serving.route,
        "warning": warning,
    }
