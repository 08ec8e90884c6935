"""Carries out the requests that come through the control socket: each is answered by events."""

import queue
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engines.audio.recordings import read_audio
from engines.audio.segmenter import SegmenterLimits
from engines.errors import AttuneError
from engines.open_file import OpenFile
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.wake.words import BUTTON
from engines.whisper.phrases import Phrase

from ..attention import Attention
from ..clients import Client
from ..conversation.conversation import Conversation
from ..conversation.speech_input import hear_recording
from ..events.bus import Events
from ..events.enrolment import Corrected, EnrolledAll
from ..events.event import Event
from ..events.learning import (
    AdaptationChanged,
    PlannedStage,
    RoundPlanned,
    ServingChanged,
)
from ..events.privacy import (
    OTHER_VOICE,
    Consented,
    Forgotten,
    KeptLabelled,
    KeptListed,
    KeptPlayed,
    KeptUtterance,
    KeysRotated,
    ToBeForgotten,
)
from ..events.service import Following, MetricsText, Reloading
from ..events.speaking import Silenced, TextSaid
from ..events.turns import Alive, ClientLeft, Level, ModeChanged
from ..events.vocabulary import ListedPhrase, VocabularyListed
from ..events.wake import Called, CallEnded
from ..listening.input import AudioInput
from ..listening.takes import TakeRecorder
from ..listening.wake import WakeGate
from ..privacy.consent import HOW
from ..privacy.forgetting import Forgetting
from ..privacy.keeping import Keeping
from ..privacy.kept import Kept, kept
from ..privacy.rotation import KeyRotation
from ..privacy.scope import Scope, find
from ..promotion.verdict import would_refuse
from ..serving.lease import ModelLender
from ..serving.moves import Moves
from ..speaking.speaker import Said, Speaker
from ..store.label_check import TOLD, label_fault
from ..store.personal_vocabulary import PersonalVocabulary, checked_phrase
from ..store.records import Utterance
from ..store.shadow_readings import ShadowReadings
from ..store.store import Store
from ..training.memory_guard import MemoryGuard
from ..training.memory_plan import Plan
from ..training.round_inputs import RoundInputs
from ..training.scheduler import RoundScheduler
from ..users.users import Users
from . import requests, row_stream
from .enrolment import MAX_SECONDS, take_up
from .metrics import Metrics
from .own_phrase import learn, read_takes, record_takes
from .server import Message
from .status import StatusReader, keeping_status
from .users import UserHandler
from .why import why

_ALIVE_SECONDS = 10.0


@dataclass(frozen=True)
class Service:
    """The parts of a running daemon that commands reach."""

    conversation: Conversation
    audio_input: AudioInput
    recorder: TakeRecorder
    gate: WakeGate | None
    """None if everything is heard."""
    phrase_path: Path
    """Where the phrase is kept by which the user calls."""
    general_audio: Sequence[Path]
    """Recordings of a voice that is not the user's."""
    interrupt: Callable[[], None]
    """Called when somebody begins to speak."""
    speaker: Speaker | None
    """None if replies are only written."""
    end_ringing: Callable[[], Sequence[object]]
    """Ends what rings, and returns it."""
    lender: ModelLender
    attention: Attention
    events: Events
    store: Store
    keeping: Keeping
    forgetting: Forgetting
    rotation: KeyRotation
    users: Users
    people: UserHandler
    vocabulary: PersonalVocabulary
    scheduler: RoundScheduler
    generations: Path
    segmenter: SegmenterLimits
    status: StatusReader
    metrics: Metrics
    moves: Callable[[], Moves]
    """Returns what moves the pointers of the user who is served."""
    guard: MemoryGuard
    inputs: RoundInputs
    corrected: Callable[[], None]
    """Called after each correction."""
    shadow_readings: ShadowReadings
    start_anew: Callable[[], "Future[None]"]
    """Asks for a reload of the settings, which waits for the current turns. The future ends once
    they are accepted, or with AttuneError if they are refused."""


def answer_message(
    service: Service, message: Message, client: Client
) -> Generator[Message, None, None]:
    """Carry out the request in a message of `client`. Yields the messages that answer it; raises
    AttuneError if the request is malformed or fails."""
    with closing(answer(service, requests.read_request(message), client)) as events:
        for event in events:
            yield event.message()


def answer(
    service: Service, request: requests.Request, client: Client
) -> Generator[Event, None, None]:
    """Carry out one request of `client`. Yields the events that answer it; raises AttuneError if
    the request fails."""
    events: Generator[Event, None, None]
    match request:
        case requests.GetStatus():
            events = _one(service.status.status())
        case requests.GetMetrics():
            events = _one(MetricsText(text=service.metrics.text()))
        case requests.Reload():
            events = _reload(service)
        case requests.Ask():
            events = _ask(service, request, client)
        case requests.Listen():
            events = _listen(service, request, client)
        case requests.Say():
            events = _say(service, request, client)
        case requests.StopSpeaking():
            events = _one(Silenced(was_speaking=_stop(service)))
        case requests.Call():
            events = _one(_call(service, request))
        case requests.LearnPhrase():
            events = _learn_phrase(service, request, client)
        case requests.SetMode():
            service.conversation.set_mode(request.mode)
            events = _one(ModeChanged(mode=request.mode))
        case requests.SetConsent():
            if request.agreed is not None:
                service.keeping.consent.decide(request.agreed, request.by)
            events = _one(Consented(keeping=keeping_status(service.keeping)))
        case requests.ListKept():
            events = _one(_list_kept(service, request))
        case requests.LabelKept():
            events = _one(_label_kept(service, request))
        case requests.PlayKept():
            events = _one(_play_kept(service, request))
        case requests.ManageUsers():
            events = _one(service.people.answer(request))
        case requests.AssignUtterances():
            events = _one(service.people.assign(request))
        case requests.Forget():
            events = _forget(service, request)
        case requests.RotateKeys():
            events = _one(KeysRotated(files=service.rotation.rotate()))
        case requests.Follow():
            events = _follow(service, request, client)
        case requests.Adapt():
            events = _adapt(service, request, client)
        case requests.ChangeVocabulary():
            events = _vocabulary(service, request)
        case requests.Correct():
            events = _correct(service, request)
        case requests.Enroll():
            events = _enroll(service, _handed(request, "the rows of an enrolment"), request.replace)
        case requests.Explain():
            told = why(request.number, service.store, service.generations, service.shadow_readings)
            events = _one(told.model_copy(update={"end_of_turn": service.status.pace.why}))
        case requests.MoveGeneration():
            events = _generations(service, request)
        case _:
            raise AssertionError(f"{type(request).__name__} has no handler")
    with closing(events):
        yield from events


def _one(event: Event) -> Generator[Event, None, None]:
    yield event


def _reload(service: Service) -> Generator[Event, None, None]:
    asked = service.start_anew()
    yield Reloading()
    asked.result()


def _ask(service: Service, request: requests.Ask, client: Client) -> Generator[Event, None, None]:
    if (request.text is None) == (request.audio is None):
        raise AttuneError("ask takes either a text or a recording")
    if request.text is not None:
        yield from service.conversation.ask(request.text, "text", request.route, client)
    elif request.audio is not None:
        with OpenFile.of_descriptor(_handed(request, request.audio), request.audio) as recording:
            samples = read_audio(recording, MAX_SECONDS)
        yield from service.conversation.ask(
            samples,
            "file",
            request.route,
            client,
            [checked_phrase(one) for one in request.expected],
        )


def _listen(
    service: Service, request: requests.Listen, client: Client
) -> Generator[Event, None, None]:
    with OpenFile.of_descriptor(_handed(request, request.audio), request.audio) as recording:
        yield from hear_recording(
            recording,
            request.speed,
            request.route,
            [checked_phrase(one) for one in request.expected],
            service.conversation,
            service.attention,
            service.events,
            service.interrupt,
            service.segmenter,
            client,
        )


def _handed(request: requests.Request, what: str) -> int:
    """Return the descriptor that came with a request. Raises AttuneError if there is none, or more
    than one."""
    if len(request.descriptors) != 1:
        raise AttuneError(
            f"{what} did not come as one open descriptor with the request, and the daemon opens no"
            " file that a client names; use the command line, which hands it over"
        )
    return request.descriptors[0]


def _follow(
    service: Service, request: requests.Follow, client: Client
) -> Generator[Event, None, None]:
    def put(event: Event) -> None:
        with suppress(queue.Full):  # then the loop below is not waiting for an event
            happening.put_nowait(event)

    with (
        service.events.follow() as happening,
        client.telling(lambda: put(ClientLeft())),
        service.audio_input.meter.watched(lambda db: put(Level(db=db)))
        if request.levels
        else nullcontext(),
    ):
        yield Following()
        while not client.left:
            try:
                event = happening.get(timeout=_ALIVE_SECONDS)
            except queue.Empty:
                event = Alive()
            yield event


def _say(service: Service, request: requests.Say, client: Client) -> Generator[Event, None, None]:
    """Say a text, and end once it was said. Nothing more of it is said once the client has left."""
    if service.speaker is None:
        raise AttuneError("speaking.voice is none; set it to auto or to a voice, and reload")
    began, happening = time.monotonic(), queue.SimpleQueue[Said | ClientLeft]()
    speech = service.speaker.begin(happening.put, request.voice)
    speech.push(request.text)
    speech.finish()
    with client.telling(lambda: happening.put(ClientLeft())):
        said = yield from _until_said(happening)
    if isinstance(said, ClientLeft):
        service.speaker.stop(speech)
        return
    if said.problem:
        raise AttuneError(said.problem)
    first_sound_ms = None
    if said.first_sound_at is not None:
        first_sound_ms = 1000 * (said.first_sound_at - began)
    yield TextSaid(seconds=said.seconds, first_sound_ms=first_sound_ms, stopped=said.stopped)


def _call(service: Service, request: requests.Call) -> Event:
    if request.action == "begin":
        if service.gate is not None:  # or else everything is heard already
            service.gate.call(BUTTON)
        return Called(by=BUTTON)
    if service.gate is not None:
        service.gate.close()
    service.audio_input.end_turn()
    return CallEnded()


def _learn_phrase(
    service: Service, request: requests.LearnPhrase, client: Client
) -> Generator[Event, None, None]:
    if request.descriptors:
        takes = read_takes(_handed(request, "the recordings of a phrase"))
    else:
        state = service.audio_input.status()
        if state.state != "listening":
            raise AttuneError(f"there is no microphone ({state.problem}); give recordings instead")
        takes = yield from record_takes(
            service.recorder, service.gate, service.attention, request.takes, client
        )
    if not client.left:
        yield from learn(
            request.text, takes, service.store, service.general_audio, service.phrase_path
        )


def _until_said(
    happening: "queue.SimpleQueue[Said | ClientLeft]",
) -> Generator[Event, None, Said | ClientLeft]:
    """Yield signs of life until a text was said or the client has left."""
    while True:
        try:
            return happening.get(timeout=_ALIVE_SECONDS)
        except queue.Empty:
            yield Alive()


def _stop(service: Service) -> bool:
    service.conversation.stop_reply()
    if service.end_ringing():
        return True
    return service.speaker is not None and service.speaker.stop()


def _adapt(
    service: Service, request: requests.Adapt, client: Client
) -> Generator[Event, None, None]:
    if request.action == "cancel":
        service.scheduler.cancel()
        yield _adaptation(service.scheduler)
        return
    if request.action == "plan":
        yield _planned(service.guard.plan(service.inputs.planned_job()))
        return
    steps: queue.SimpleQueue[AdaptationChanged | ClientLeft] = queue.SimpleQueue()
    unsubscribe = service.events.subscribe(AdaptationChanged, steps.put)
    try:
        service.scheduler.run_now()
        with client.telling(lambda: steps.put(ClientLeft())):
            yield from _until_outcome(service.scheduler, steps)
    finally:
        unsubscribe()


def _until_outcome(
    scheduler: RoundScheduler, steps: "queue.SimpleQueue[AdaptationChanged | ClientLeft]"
) -> Generator[Event, None, None]:
    """Yield the steps of a round until it has an outcome or the client has left."""
    outcome = None
    while outcome is None:
        try:
            step = steps.get(timeout=_ALIVE_SECONDS)
        except queue.Empty:
            step = _adaptation(scheduler)
        if isinstance(step, ClientLeft):
            return
        outcome = step.outcome or ("cancelled" if step.state == "stopped" else None)
        yield step


def _adaptation(scheduler: RoundScheduler) -> AdaptationChanged:
    return AdaptationChanged(**dict(scheduler.status()))


def _planned(plan: Plan) -> RoundPlanned:
    return RoundPlanned(
        predicted_bytes=plan.predicted_bytes,
        peak_bytes=plan.peak_bytes,
        stages=tuple(PlannedStage(**asdict(stage)) for stage in plan.stages),
        budget_bytes=plan.budget_bytes,
        micro_batches=plan.micro_batches,
        unloads=plan.unloads,
        measured_here=plan.measured_here,
        refusal=plan.refusal,
    )


def _correct(service: Service, request: requests.Correct) -> Generator[Event, None, None]:
    _check_may_keep(service)
    turn = (
        service.store.history.last_spoken_turn()
        if request.turn is None
        else service.store.history.turn(request.turn)
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
            f"turn {turn.id} cannot have this text: {TOLD[fault]}; give the words that were said"
        )
    service.store.add_label(turn.utterance, request.text, "corrected")
    service.corrected()
    yield Corrected(turn=turn.id, utterance=turn.utterance, heard=turn.heard, text=request.text)


def _heard(service: Service, samples: Float32) -> str:
    """Return what the cascade makes of a recording of one phrase, without any vocabulary. Raises
    AttuneError if that is nothing."""
    service.attention.begin()
    try:
        with service.lender.lease("cascade") as models:
            heard = models.words_of(models.loaded.route.hear(samples))
    finally:
        service.attention.end()
    if not heard:
        raise AttuneError("nothing was heard in the recording; record the phrase again")
    return heard


def _vocabulary(
    service: Service, request: requests.ChangeVocabulary
) -> Generator[Event, None, None]:
    phrases = [Phrase(text=one.text, weight=one.weight) for one in request.add]
    if request.audio is not None:
        if len(phrases) != 1:
            raise AttuneError("a recording goes with one phrase; add the others without it")
        with OpenFile.of_descriptor(_handed(request, request.audio), request.audio) as recording:
            samples = read_audio(recording, MAX_SECONDS)
        phrases = [phrases[0].model_copy(update={"heard_as": (_heard(service, samples),)})]
    removed = service.vocabulary.remove(request.remove) if request.remove else 0
    added = service.vocabulary.add(phrases) if phrases else 0
    listed = tuple(
        ListedPhrase(text=one.text, weight=one.weight, heard_as=one.heard_as)
        for one in service.vocabulary.own
    )
    yield VocabularyListed(phrases=listed, added=added, removed=removed)


def _list_kept(service: Service, request: requests.ListKept) -> Event:
    found, more = kept(
        service.store,
        request.since,
        request.until,
        request.word,
        request.most,
        to_review=request.to_review,
    )
    listed = tuple(
        KeptUtterance(
            utterance=one.utterance.id,
            created_at=one.utterance.created_at,
            seconds=one.utterance.seconds,
            source=one.utterance.source,
            text=one.text,
            origin=one.origin,
            confidence=one.confidence,
            user=_told_user(service, one),
        )
        for one in found
    )
    return KeptListed(utterances=listed, more=more)


def _told_user(service: Service, one: Kept) -> str:
    """Say whose voice a recording is."""
    user = None if one.user is None else service.users.get(one.user)
    if user is not None:
        return user.name
    return OTHER_VOICE if one.user_by in ("voice", "hand") else ""


def _kept_one(service: Service, name: str) -> Utterance:
    """Return the recording whose id begins with `name`. Raises AttuneError if there is none, or
    several."""
    [identifier] = find(service.store, Scope(utterances=(name,))).utterances
    stored = service.store.utterance(identifier)
    if stored is None:
        raise AttuneError(f"there is no utterance {name} any more")
    return stored


def _label_kept(service: Service, request: requests.LabelKept) -> Event:
    _check_may_keep(service)
    stored = _kept_one(service, request.utterance)
    text = request.text or service.store.text_of(stored.id)
    if not text:
        raise AttuneError(
            f"utterance {stored.id[:8]} has no label yet; give the words that it says"
        )
    fault = label_fault(text, stored.seconds)
    if fault is not None:
        raise AttuneError(
            f"utterance {stored.id[:8]} cannot have this text: {TOLD[fault]}; give the words that"
            " were said"
        )
    service.store.add_label(stored.id, text, "corrected")
    service.corrected()
    return KeptLabelled(utterance=stored.id, text=text)


def _play_kept(service: Service, request: requests.PlayKept) -> Event:
    if service.speaker is None:
        raise AttuneError("speaking.voice is none; set it to auto or to a voice, and reload")
    stored = _kept_one(service, request.utterance)
    service.speaker.play_back(read_audio(stored.audio), SAMPLE_RATE_HZ)
    return KeptPlayed(utterance=stored.id, seconds=stored.seconds)


def _forget(service: Service, request: requests.Forget) -> Generator[Event, None, None]:
    scope = Scope(
        utterances=request.utterances,
        turn=request.turn,
        since=request.since,
        until=request.until,
        word=request.word,
        user=None if request.user is None else service.users.named(request.user).id,
        strangers=request.strangers,
        everything=request.everything,
    )
    if request.user is not None or request.strangers:
        service.people.tell()  # or else what nothing has looked at would stay
    plan = service.forgetting.plan(scope)
    if scope.turn == 0:  # another turn may be the last one by then
        scope = replace(scope, turn=plan.found.turns[-1])
    yield ToBeForgotten(
        turn=scope.turn,
        utterances=len(plan.found.utterances),
        seconds=plan.found.seconds,
        turns=len(plan.found.turns),
        others=plan.found.others,
        generations=plan.generations,
    )
    if request.only_plan:
        return
    receipt = service.forgetting.forget(scope)
    if receipt is None:
        raise AttuneError("nothing of that is kept, so there is nothing to forget")
    yield Forgotten(
        receipt=receipt.model_dump_json(),
        number=receipt.number,
        utterances=receipt.utterances,
        seconds=receipt.seconds,
        turns=receipt.turns,
        others=receipt.others,
        withdrawn=receipt.withdrawn,
        serves=receipt.serves,
    )


def _check_may_keep(service: Service) -> None:
    """Raise AttuneError if nothing of the user's may be kept now."""
    if not service.keeping.consent.agreed:
        raise AttuneError(f"nothing is kept of what you say: nobody has agreed to it; {HOW}")
    if service.keeping.private.left_seconds:
        raise AttuneError('nothing is kept in private mode; end it first ("private mode off")')


def _enroll(service: Service, descriptor: int, replace: bool) -> Generator[Event, None, None]:
    _check_may_keep(service)
    service.attention.begin()  # no round may start on half of an enrolment
    try:
        service.people.settle()
        user = service.users.served
        with closing(row_stream.receive(descriptor)) as rows:
            for event in take_up(
                rows, service.store, replace, user.id, lambda: _check_may_keep(service)
            ):
                if isinstance(event, EnrolledAll) and len(service.users.all) > 1:
                    event = event.model_copy(update={"user": user.name})
                yield event
    finally:
        service.attention.end()


def _generations(
    service: Service, request: requests.MoveGeneration
) -> Generator[Event, None, None]:
    if request.action == "rollback":
        chosen = service.moves().roll_back("rollback by hand")
    elif request.number is None:
        raise AttuneError(
            "promote takes the number of a generation; `attune generations list` shows them"
        )
    else:
        chosen = service.moves().promote(request.number, "promote by hand")
    yield ServingChanged(
        generation=chosen.number,
        route=service.lender.route,
        warning=would_refuse(chosen.card),
    )
