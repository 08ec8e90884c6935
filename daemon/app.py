"""The composition root: starts every part of the daemon in order, and stops them in reverse. No
other place wires them."""

import logging
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engines.device.memory import proportional_bytes
from engines.generations.folder import sweep
from engines.jobs.footprints import footprints_path
from engines.voices.voice import Voice
from engines.wake.words import NONE as NO_WAKE_WORD

from .attention import Attention, Held
from .clocks import REAL_TIME, Clocks
from .config.installation_key import open_state
from .config.settings import Settings
from .control.handlers import Service, answer, answer_message
from .control.metrics import Metrics
from .control.server import ControlServer
from .control.socket_file import hold_socket
from .control.status import StatusReader
from .control.users import UserHandler
from .conversation.conversation import Conversation
from .conversation.early import Preparation
from .conversation.turn_pace import TurnPace
from .events.alarms import AlarmEnded, AlarmRings
from .events.bus import Events
from .events.learning import AdaptationChanged
from .events.service import Status
from .housekeeping import EVERY_SECONDS, Housekeeping
from .idle_task import IdleTask
from .installation import refuse_strangers
from .jobs.engine_builds import ENGINE_COMMAND, EngineBuilds
from .jobs.launch import as_child
from .jobs.systemd_launch import handing_over
from .listening.input import AudioInput, AudioSources
from .listening.wake import WakePlan
from .own_abilities import OwnAbilities, make_abilities
from .privacy.consent import Consent
from .privacy.forgetting import (
    WHY,
    Forgetting,
    NotAllGoneError,
    Places,
    finish,
    withdrawing,
)
from .privacy.importing import finish_import_or_tell
from .privacy.keeping import Keeping
from .privacy.private_time import PrivateTime
from .privacy.receipts import Receipts
from .privacy.rotation import KeyRotation
from .privacy.take_over import BACKUP, take_over
from .promotion.regression import look_back
from .promotion.shadow import Shadow, ShadowLimits
from .serving.manager import ModelManager
from .serving.models import ServingModels, open_models
from .serving.moves import Moves
from .serving.served_user import ServedUser
from .speaking.chosen_voice import NONE, daemon_voice
from .speaking.loudspeaker import Loudspeaker
from .speaking.network_voice import NetworkVoice, network_voice
from .speaking.replies import say_replies
from .speaking.speaker import Speaker
from .spoken_turns import own_phrase_path, start_spoken_turns
from .state_lock import hold_state
from .store.database import DatabaseBusyError
from .store.labelling import Labeller
from .store.orphans import adopt_orphans
from .store.personal_vocabulary import PersonalVocabulary
from .store.records import FIRST_USER
from .store.shadow_readings import ShadowReadings
from .store.store import Store
from .systemd import Watchdog
from .tools.gate_results import GateResults
from .tools.servers import McpServers
from .tools.servers_file import read_servers
from .tools.toolbox import Toolbox
from .training.memory_guard import MemoryGuard
from .training.round_inputs import RoundInputs, limits_of
from .training.rounds import RoundRecord, Rounds
from .training.scheduler import RoundScheduler
from .users.places import FOLDER as USERS
from .users.places import generations_of, of_others
from .users.recognition import PrintOf, VoiceRecognition, open_model
from .users.users import Users

if TYPE_CHECKING:
    from .http.service import HttpService
    from .wyoming.service import WyomingService

logger = logging.getLogger(__name__)

_QUIET_POLL_SECONDS = 0.02
_ROUND_ENDS_SECONDS = 60.0
_TRY_TOOLS_EVERY_SECONDS = 30.0


def _no_other_settings() -> "Future[None]":
    """Accept a reload at once: a daemon that was given its settings has none to read again."""
    accepted: Future[None] = Future()
    accepted.set_result(None)
    return accepted


@dataclass(frozen=True)
class Surroundings:
    """What a daemon is started with besides its settings."""

    open_models: Callable[[Settings], ServingModels] = open_models
    round_command: tuple[str, ...] | None = None
    """Command that runs the job of a round, in place of the child of `calibration`."""
    engine_command: tuple[str, ...] = ENGINE_COMMAND
    """Command that runs a job about engines."""
    clocks: Clocks = REAL_TIME
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(None, lambda: None))
    open_voice: Callable[[Settings, str | None], Voice] = daemon_voice
    open_voiceprints: Callable[[], PrintOf] = open_model
    open_loudspeaker: Callable[[str, float], Loudspeaker] = Loudspeaker
    sources: AudioSources | None = None
    """The sources of sound, if they outlive this daemon."""
    listening: socket.socket | None = None
    """The socket for commands, if it outlives this daemon."""
    start_anew: Callable[[], "Future[None]"] = _no_other_settings
    """Asks for another daemon in this one's place, with settings that are read again. The future
    ends once they are accepted, or with AttuneError if they are refused."""


@dataclass(frozen=True)
class Parts:
    """The running parts of a daemon."""

    store: Store
    events: Events
    attention: Attention
    models: ModelManager
    guard: MemoryGuard
    conversation: Conversation
    speaker: Speaker | None
    housekeeping: Housekeeping
    recognition: VoiceRecognition
    forgetting: Forgetting
    inputs: RoundInputs
    scheduler: RoundScheduler
    engine_builds: EngineBuilds
    shadow: Shadow
    audio_input: AudioInput
    status: StatusReader
    control: ControlServer
    http: "HttpService | None"


class App:
    """A running daemon. Entering starts it, leaving stops it."""

    def __init__(
        self,
        settings: Settings,
        surroundings: Surroundings | None = None,
        settings_problem: str = "",
    ) -> None:
        self._settings = settings
        self._surroundings = surroundings or Surroundings()
        self.settings_problem = settings_problem
        """Why the settings in the files are not those in use, for the user; empty if they are."""
        self._stack = ExitStack()
        self.parts: Parts

    def __enter__(self) -> "App":
        """Start the daemon. If it cannot serve, stop every part that was started and raise
        AttuneError."""
        with ExitStack() as stack:
            self.parts = start(
                stack, self._settings, self._surroundings, lambda: self.settings_problem
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        logger.info("stopped")

    def status(self) -> Status:
        """Return everything that `attune status` shows."""
        return self.parts.status.status()

    def state(self) -> str:
        """Return what the daemon is doing, in one line for a service manager."""
        return self.parts.status.line()

    def turn_away(self, patience_seconds: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Take no more commands, and wait until no user speaks or waits for a reply. The wait ends
        after `patience_seconds`, or once `hurry` returns True.

        A client that connects meanwhile waits for the daemon that is given the socket next.
        """
        self.parts.control.turn_away()
        if self.parts.http is not None:
            self.parts.http.turn_away(True)
        until = time.monotonic() + patience_seconds
        while self.parts.attention.needed and time.monotonic() < until and not hurry():
            time.sleep(_QUIET_POLL_SECONDS)

    def take_commands(self) -> None:
        """Take commands again after `turn_away`."""
        self.parts.control.take_again()
        if self.parts.http is not None:
            self.parts.http.turn_away(False)


def start(
    stack: ExitStack,
    settings: Settings,
    given: Surroundings,
    settings_problem: Callable[[], str],
) -> Parts:
    """Start every part; leaving `stack` stops them in reverse. Raises AttuneError if the daemon
    cannot serve."""
    refuse_strangers()
    started_at = given.clocks.elapsed()
    stack.enter_context(hold_state(settings.state_dir))
    keys = open_state(settings)
    finish_import_or_tell(settings.state_dir)
    taken_over = take_over(settings, keys)
    bare_bytes = proportional_bytes()  # before the models are open
    events, attention = Events(), Attention(given.clocks.monotonic)
    voice = network_voice(settings, given.open_voice, attention)
    stack.callback(voice.close)
    wyoming = start_wyoming(stack, settings, voice) if settings.wyoming.address else None
    http = start_http(stack, settings, voice, attention) if settings.http.address else None

    store = start_store(stack, settings, given.clocks)
    if taken_over:
        store.notice(taken_over)
    keeping = Keeping(Consent(store), PrivateTime(store), settings.audio.keep)
    vocabulary = PersonalVocabulary(store)
    users = Users(store)
    models = start_models(stack, settings, given, store, users, vocabulary, events)
    shadow = make_shadow(settings, given.clocks, models, store, keeping, attention, events)
    speaker = start_speaking(stack, settings, given, attention, events)
    on_network = [service for service in (wyoming, http) if service is not None]
    guard = make_guard(settings, bare_bytes, models, shadow, speaker, voice)
    forgetting_later: list[Forgetting] = []  # it needs what is made of the abilities
    own = make_abilities(
        stack,
        settings,
        store,
        keeping,
        lambda: forgetting_later[0],
        users,
        lambda: served,
        speaker,
        attention,
        events,
        lambda: models.files.replying_language_model,
    )
    vocabulary.expect_also(lambda: own.words)
    toolbox = start_tools(stack, settings, given, models, attention)
    recognition = VoiceRecognition(
        store, users, attention, lambda: keeping.consent.agreed, given.open_voiceprints
    )
    served = ServedUser(
        users,
        models,
        events,
        recognition.whose,
        lambda: recognition.profiles,
        settings.users.by_voice,
        lambda: keeping.allowed,
    )
    conversation = start_conversation(
        stack,
        settings,
        given,
        models,
        store,
        keeping,
        served,
        speaker,
        attention,
        events,
        own,
        toolbox,
    )
    housekeeping = start_housekeeping(stack, settings, given.clocks, models, store, attention)
    labeller = Labeller(
        store,
        attention,
        models.transcribe,
        lambda: keeping.consent.agreed and models.writes_labels,
        lambda: users.served.id,
        given.clocks,
    )
    inputs = RoundInputs(
        settings,
        store,
        keeping.consent,
        attention,
        users,
        recognition,
        labeller,
        models.files,
        models.general,
        given.clocks,
    )
    forgetting = make_forgetting(
        stack,
        settings,
        store,
        models,
        users,
        conversation,
        vocabulary,
        attention,
        lambda: scheduler,
    )
    forgetting_later.append(forgetting)
    rotation = make_rotation(stack, settings, store, housekeeping, attention, lambda: scheduler)
    scheduler = start_scheduler(
        stack, settings, given, inputs, models, guard, housekeeping, attention, events
    )
    recognition.start()
    stack.callback(recognition.stop)
    labeller.start()
    stack.callback(labeller.stop)  # before the scheduler, which may be labelling
    engine_builds = start_engine_builds(
        stack, settings, given, models, shadow, scheduler, attention, events
    )
    shadow.start()
    stack.callback(shadow.stop)
    spoken = start_spoken_turns(
        stack,
        settings,
        given.sources or stack.enter_context(closing(AudioSources())),
        given.watchdog,
        conversation,
        speaker,
        store,
        users,
        attention,
        events,
    )

    keep_open_while_ringing(events, spoken.wake)
    own.keeper.start()
    if wyoming is not None:
        wyoming.open(conversation, lambda: spoken.pace.end_seconds)
    status = StatusReader(
        settings=settings,
        clocks=given.clocks,
        started_at=started_at,
        models=models,
        store=store,
        users=users,
        served=served,
        attention=attention,
        audio_input=spoken.audio_input,
        wake=spoken.wake,
        network_problem=lambda: "; ".join(
            one.problem for one in [*on_network, own, toolbox, forgetting, rotation] if one.problem
        ),
        pace=spoken.pace,
        conversation=conversation,
        alarms=own.told_alarms,
        keeping=keeping,
        tools=lambda: toolbox.for_people,
        speaker=speaker,
        housekeeping=housekeeping,
        inputs=inputs,
        scheduler=scheduler,
        shadow=shadow,
        settings_problem=settings_problem,
    )
    metrics = Metrics(status.status, events)
    if settings.traces.endpoint:
        from .control.traces import sending_traces  # only who sends traces loads OpenTelemetry

        stack.enter_context(sending_traces(settings.traces.endpoint, events))
    service = Service(
        conversation=conversation,
        audio_input=spoken.audio_input,
        recorder=spoken.recorder,
        gate=None if spoken.wake is None else spoken.wake.gate,
        phrase_path=own_phrase_path(settings.state_dir),
        general_audio=[example.audio for example in models.general],
        interrupt=spoken.interrupt,
        speaker=speaker,
        end_ringing=own.keeper.end_ringing,
        lender=models.lender,
        attention=attention,
        events=events,
        store=store,
        keeping=keeping,
        forgetting=forgetting,
        rotation=rotation,
        users=users,
        people=UserHandler(store, users, served, recognition, models, settings.generations),
        vocabulary=vocabulary,
        scheduler=scheduler,
        generations=settings.generations,
        segmenter=settings.segmenter.limits(),
        status=status,
        metrics=metrics,
        moves=lambda: models.moves,
        guard=guard,
        inputs=inputs,
        corrected=lambda: _look_back(settings, models, store, events),
        shadow_readings=ShadowReadings(store),
        start_anew=given.start_anew,
    )
    if http is not None:
        open_http(http, service, models, conversation, spoken.pace, own, toolbox)
    control = start_control(stack, settings, given, service)
    # Stopped first: clients that wait for a reply are told while the other parts still run.
    stack.callback(conversation.stop_answering)
    if http is not None:
        stack.callback(http.close)
    routes = models.routes
    logger.info("serving at %s, %s route: %s", settings.control.socket, routes.route, routes.reason)
    return Parts(
        store=store,
        events=events,
        attention=attention,
        models=models,
        guard=guard,
        conversation=conversation,
        speaker=speaker,
        housekeeping=housekeeping,
        recognition=recognition,
        forgetting=forgetting,
        inputs=inputs,
        scheduler=scheduler,
        engine_builds=engine_builds,
        shadow=shadow,
        audio_input=spoken.audio_input,
        status=status,
        control=control,
        http=http,
    )


def start_wyoming(stack: ExitStack, settings: Settings, voice: NetworkVoice) -> "WyomingService":
    """Serve Wyoming from now on."""
    # Imported where it is wanted, like what serves HTTP: it takes memory.
    from .wyoming.service import WyomingService

    return WyomingService(stack, settings, voice)


def start_http(
    stack: ExitStack, settings: Settings, voice: NetworkVoice, attention: Attention
) -> "HttpService":
    """Serve HTTP from now on."""
    from .http.service import HttpService

    return HttpService(stack, settings, voice, attention)


def open_http(
    http: "HttpService",
    service: Service,
    models: ModelManager,
    conversation: Conversation,
    pace: TurnPace,
    own: OwnAbilities,
    toolbox: Toolbox,
) -> None:
    """Let clients of HTTP reach what runs by now."""
    from .http.offered import Running

    held = Held(service.attention)
    service.events.subscribe(
        AdaptationChanged, lambda event: held.hold(False) if event.outcome is not None else None
    )
    http.open(
        Running(
            lender=models.lender,
            answering=lambda: conversation.busy,
            metrics=service.metrics.text,
            count_request=service.metrics.count_request,
            answer=partial(answer, service),
            adaptation=service.scheduler.status,
            last_rounds=service.store.history.last_rounds,
            hold_training=held.hold,
            abilities=own.abilities,
            may_call_tools=lambda: toolbox.may_call,
        ),
        lambda: pace.end_seconds,
    )


def start_store(stack: ExitStack, settings: Settings, clocks: Clocks) -> Store:
    """Open the store, and make utterances again of audio files that no row names."""
    store = Store(settings.state_dir, clocks)
    stack.callback(store.close)
    users = Users(store)
    moves = Moves(
        settings.generations,
        lambda _: None,
        store.history.add_move,
        others=lambda: of_others(settings.generations, users, FIRST_USER),
    )
    receipts = Receipts(settings.state_dir)
    try:
        # Before anything is served, and before what is left of it becomes utterances again.
        finish(store, places(settings), receipts, withdrawing(moves))
        adopt_orphans(store, clocks.wall())
    except NotAllGoneError as error:  # the rest is tried again, and nothing of it is served
        logger.error("%s", error)
    except DatabaseBusyError as error:
        logger.warning("audio files that no row names are looked for at the next start: %s", error)
    return store


def start_models(
    stack: ExitStack,
    settings: Settings,
    given: Surroundings,
    store: Store,
    users: Users,
    vocabulary: PersonalVocabulary,
    events: Events,
) -> ModelManager:
    """Open the models and serve the current generation of the user who is served."""
    for user in users.all:
        sweep(generations_of(settings.generations, user.id))
    models = ModelManager(settings, given.open_models, store, users, vocabulary, events)
    stack.callback(models.close)
    return models


def make_shadow(
    settings: Settings,
    clocks: Clocks,
    models: ModelManager,
    store: Store,
    keeping: Keeping,
    attention: Attention,
    events: Events,
) -> Shadow:
    """Make the thread that runs a candidate in shadow. The caller starts it."""
    return Shadow(
        ShadowReadings(store),
        models.lender,
        attention,
        events,
        ShadowLimits(
            turns=settings.adapt.shadow_turns,
            days=settings.adapt.shadow_days,
            quiet_seconds=settings.conversation.forget_after_seconds,
            max_reply_tokens=settings.conversation.max_reply_tokens,
        ),
        load_route=models.load_route,
        moves=lambda: models.moves,
        may_learn=lambda: keeping.consent.agreed,
        clocks=clocks,
    )


def make_guard(
    settings: Settings,
    bare_bytes: int,
    models: ModelManager,
    shadow: Shadow,
    speaker: Speaker | None,
    voice: NetworkVoice,
) -> MemoryGuard:
    """Make the guard of the memory budget. A turn that needs models which a round has closed asks
    the guard for them."""

    def unload() -> None:
        models.unload()
        shadow.let_go()
        if speaker is not None:
            speaker.let_go()
        voice.close()

    guard = MemoryGuard(
        settings.budget.allowed_bytes,
        settings.budget.unload,
        footprints_path(settings.cache_dir),
        bare_bytes,
        unload=unload,
        load=models.load,
    )
    models.lender.wake_by(guard.need_models)
    return guard


def start_tools(
    stack: ExitStack,
    settings: Settings,
    given: Surroundings,
    models: ModelManager,
    attention: Attention,
) -> Toolbox:
    """Reach the MCP servers, if there are any, and try the language model out on tools, if anybody
    may offer it some. Raises AttuneError if the file of servers is wrong."""
    servers = None
    if settings.tools.servers not in ("", "none"):
        servers = McpServers(read_servers(Path(settings.tools.servers)))
        servers.start()
        stack.callback(servers.stop)
    toolbox = Toolbox(
        servers,
        GateResults(settings.state_dir),
        settings.tools.use,
        models.lender,
        lambda: models.files.replying_language_model,
        attention,
        given.clocks.wall,
    )
    if servers is not None or settings.http.address:
        trying = IdleTask("tool-gate", toolbox.try_out, attention, _TRY_TOOLS_EVERY_SECONDS)
        trying.start()
        stack.callback(trying.stop)
        stack.callback(toolbox.stop)  # first
    return toolbox


def start_conversation(
    stack: ExitStack,
    settings: Settings,
    given: Surroundings,
    models: ModelManager,
    store: Store,
    keeping: Keeping,
    served: ServedUser,
    speaker: Speaker | None,
    attention: Attention,
    events: Events,
    own: OwnAbilities,
    toolbox: Toolbox,
) -> Conversation:
    """Start the thread that answers turns."""
    conversation = Conversation(
        models.lender,
        store,
        events,
        attention,
        settings.conversation,
        keeps_audio=settings.audio.keep,
        clocks=given.clocks,
        alive=given.watchdog.watch("conversation"),
        preparation=(Preparation(speaker.prepare, speaker.forget) if speaker is not None else None),
        abilities=own.abilities,
        tools=toolbox,
        may_keep=lambda: keeping.allowed,
        served=served,
    )
    stack.callback(conversation.close)
    return conversation


def places(settings: Settings) -> Places:
    """Where there may be something of what was said, besides the store."""
    return Places(
        settings.generations,
        settings.state_dir / "jobs",
        settings.cache_dir / "features",
        own_phrase_path(settings.state_dir),
        settings.state_dir / BACKUP,
        settings.state_dir / USERS,
    )


def make_forgetting(
    stack: ExitStack,
    settings: Settings,
    store: Store,
    models: ModelManager,
    users: Users,
    conversation: Conversation,
    vocabulary: PersonalVocabulary,
    attention: Attention,
    scheduler: Callable[[], RoundScheduler],
) -> Forgetting:
    """Make what forgets what was said. The caller starts its thread once there is a scheduler."""

    def withdraw(numbers: Collection[int]) -> int | None:
        if not numbers:
            if models.user != users.served.id:  # who was served is forgotten
                models.reload()
            return models.routes.generation
        serves = models.moves.withdraw(numbers, WHY)
        models.reload()
        return serves

    def forgotten() -> None:
        users.read_again()
        conversation.forget_all()
        vocabulary.read_again()

    forgetting = Forgetting(
        store,
        places(settings),
        Receipts(settings.state_dir),
        withdraw,
        lambda: scheduler().held(_ROUND_ENDS_SECONDS),
        forgotten,
    )
    finishing = IdleTask("forgetting", forgetting.finish_left, attention, EVERY_SECONDS)
    finishing.start()
    stack.callback(finishing.stop)
    return forgetting


def make_rotation(
    stack: ExitStack,
    settings: Settings,
    store: Store,
    housekeeping: Housekeeping,
    attention: Attention,
    scheduler: Callable[[], RoundScheduler],
) -> KeyRotation:
    """Make what encrypts everything with another key, and start the thread that finishes what a
    kill has left. It waits until it is quiet, and there is a scheduler by then."""

    @contextmanager
    def alone() -> Iterator[None]:
        with scheduler().held(_ROUND_ENDS_SECONDS), housekeeping.held():
            yield

    rotation = KeyRotation(settings, store, alone)
    finishing = IdleTask("key rotation", rotation.finish_left, attention, EVERY_SECONDS)
    finishing.start()
    stack.callback(finishing.stop)
    return rotation


def start_speaking(
    stack: ExitStack, settings: Settings, given: Surroundings, attention: Attention, events: Events
) -> Speaker | None:
    """Start the thread that says replies aloud; None if the settings want them written only."""
    if settings.speaking.voice == NONE:
        return None
    loudspeaker = given.open_loudspeaker(settings.speaking.device, settings.speaking.volume)
    stack.callback(loudspeaker.close)
    speaker = Speaker(partial(given.open_voice, settings), loudspeaker, attention)
    stack.callback(speaker.close)
    stack.callback(
        say_replies(
            events,
            speaker,
            sounds=settings.speaking.sounds,
            called_first=settings.wake.word != NO_WAKE_WORD,
        )
    )
    if settings.audio.source != "none":  # or else nobody speaks to it
        speaker.try_out()
    return speaker


def keep_open_while_ringing(events: Events, wake: WakePlan | None) -> None:
    """Let everybody say stop without the wake word while an alarm rings."""
    if wake is None:
        return
    ringing: set[int] = set()

    def take(event: AlarmRings | AlarmEnded) -> None:
        if isinstance(event, AlarmRings) and event.id not in ringing:
            ringing.add(event.id)
            wake.gate.hold_open(True)
        elif isinstance(event, AlarmEnded) and event.id in ringing:
            ringing.remove(event.id)
            wake.gate.hold_open(False)

    events.subscribe(AlarmRings, take)
    events.subscribe(AlarmEnded, take)


def start_housekeeping(
    stack: ExitStack,
    settings: Settings,
    clocks: Clocks,
    models: ModelManager,
    store: Store,
    attention: Attention,
) -> Housekeeping:
    """Start the thread that keeps what is stored within its quotas."""
    housekeeping = Housekeeping(settings, store, attention, models.moves, clocks)
    housekeeping.start()
    stack.callback(housekeeping.stop)
    return housekeeping


def start_scheduler(
    stack: ExitStack,
    settings: Settings,
    given: Surroundings,
    inputs: RoundInputs,
    models: ModelManager,
    guard: MemoryGuard,
    housekeeping: Housekeeping,
    attention: Attention,
    events: Events,
) -> RoundScheduler:
    """Start the thread that runs rounds while nobody needs the machine."""

    def record(ended: RoundRecord) -> None:
        inputs.record(ended)
        # The round judged the served generation too, which may have earned another route.
        if ended.outcome in ("refused", "shadowed"):
            models.reload()
        housekeeping.tidy_or_tell()

    scheduler = RoundScheduler(
        Rounds(
            settings.generations,
            settings.state_dir / "jobs",
            limits_of(settings),
            shadow_turns=settings.adapt.shadow_turns,
            command=given.round_command,
            launch=(
                handing_over(Path(settings.adapt.hand_over))
                if settings.adapt.hand_over
                else as_child
            ),
        ),
        snapshot=inputs.snapshot,
        build_job=inputs.build_job,
        moves=models.moves_of,
        whose=lambda: inputs.user,
        events=events,
        record=record,
        guard=guard,
        clock=given.clocks.monotonic,
        wall_clock=given.clocks.wall,
    )
    attention.changes.subscribe(scheduler.attention_changed)
    scheduler.start()
    stack.callback(scheduler.stop)
    return scheduler


def start_engine_builds(
    stack: ExitStack,
    settings: Settings,
    given: Surroundings,
    models: ModelManager,
    shadow: Shadow,
    scheduler: RoundScheduler,
    attention: Attention,
    events: Events,
) -> EngineBuilds:
    """Start the thread that builds the engines of a GPU while nobody needs the machine."""

    def reopen() -> None:
        models.reopen()
        shadow.let_go()

    builds = EngineBuilds(
        models.files,
        settings.engines.encoder_precision,
        settings.cache_dir,
        attention,
        events,
        threads=settings.engines.threads,
        served_by_plan=lambda: models.opened_plan,
        reopen=reopen,
        may_run=lambda: models.open and scheduler.status().state == "waiting",
        clocks=given.clocks,
        command=given.engine_command,
    )
    builds.start()
    stack.callback(builds.stop)
    return builds


def start_control(
    stack: ExitStack, settings: Settings, given: Surroundings, service: Service
) -> ControlServer:
    """Start taking commands at the control socket."""
    control = ControlServer(
        given.listening or stack.enter_context(hold_socket(settings.control.socket)),
        partial(answer_message, service),
    )
    stack.callback(control.close)
    return control


def _look_back(settings: Settings, models: ModelManager, store: Store, events: Events) -> None:
    """Roll back, after a correction, if the served generation is worse than those before it."""
    if settings.adapt.roll_back:
        look_back(models, store, events)
