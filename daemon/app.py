"""The composition root: starts every part of the daemon in order and stops them in reverse. The one place that wires them."""

import importlib.metadata
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from engines.errors import AttuneError
from engines.footprints import footprints_path
from engines.generation import sweep
from engines.process_memory import proportional_bytes
from engines.segmenter import Segmenter, SegmenterLimits
from engines.tensorrt_encoder import TENSORRT
from engines.vad import SileroVad

from .adaptation import Adaptation
from .attention import Attention
from .capture import AudioSource, WavSource
from .clocks import REAL_TIME, Clocks
from .commands import Service, answer
from .config import Settings
from .control import ControlServer, hold_state
from .conversation import Conversation, Manners
from .engine_keeper import ENGINE_COMMAND, EngineKeeper
from .events import Event, Events
from .governor import Governor
from .hearing import hand_on
from .housekeeping import Housekeeping
from .labelling import Labeller
from .learning import Learning, limits_of
from .listener import Listener
from .metrics import Metrics
from .microphone import Microphone
from .rounds import RoundRecord, Rounds
from .served import Served
from .shadow import Shadow, ShadowLimits
from .shadow_readings import ShadowReadings
from .store import Store
from .voice import Voice, open_voice

logger = logging.getLogger(__name__)

_SHOWN_TURNS = 5


class App:
    """A running daemon. Entering starts it, leaving stops it."""

    def __init__(
        self,
        settings: Settings,
        open_voice: Callable[[Settings], Voice] = open_voice,
        command: tuple[str, ...] | None = None,
        clocks: Clocks = REAL_TIME,
        engine_command: tuple[str, ...] = ENGINE_COMMAND,
    ) -> None:
        """`command` runs a round's job in place of the calibration child, `engine_command` one about engines."""
        self._engine_command = engine_command
        self._settings = settings
        self._clocks = clocks
        self._open_voice = open_voice
        self._command = command
        self._stack = ExitStack()
        self._started_at = time.time()
        self._listener: Listener | None = None
        self._deaf_because = ""

    def __enter__(self) -> "App":
        """Raises AttuneError, with everything stopped that was started, where the daemon cannot serve."""
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        logger.info("stopped")

    def _start(self, stack: ExitStack) -> None:
        settings = self._settings
        refuse_strangers()
        stack.enter_context(hold_state(settings.state_dir))
        self._bare_bytes = proportional_bytes()
        self._store = Store(settings.state_dir, self._clocks.wall)
        stack.callback(self._store.close)
        sweep(settings.generations)
        self._events, self._attention = Events(), Attention(self._clocks.monotonic)
        self._served = Served(settings, self._open_voice, self._store, self._events, lambda: self._governor.need_models())
        stack.callback(self._served.close)
        self._governor = self._govern()
        self._shadow = self._hear_along()
        self._conversation = self._converse()
        stack.callback(self._conversation.close)
        labeller = Labeller(self._store, self._attention, self._served.transcribe, ready=lambda: self._served.open)
        labeller.start()
        stack.callback(labeller.stop)
        self._housekeeping = Housekeeping(settings, self._store, self._attention, self._clocks)
        self._housekeeping.start()
        stack.callback(self._housekeeping.stop)
        self._learning = Learning(
            settings, self._store, self._attention, labeller, self._served.files, self._served.general, self._clocks.wall
        )
        self._adaptation = self._adapt()
        self._adaptation.start()
        stack.callback(self._adaptation.stop)
        self._engine_keeper = self._keep_engines()
        self._engine_keeper.start()
        stack.callback(self._engine_keeper.stop)
        self._shadow.start()
        stack.callback(self._shadow.stop)
        self._listen(stack)
        metrics = Metrics(self.status)
        self._events.watch(metrics.note)
        service = Service(
            conversation=self._conversation,
            serving=self._served.serving,
            attention=self._attention,
            events=self._events,
            store=self._store,
            adaptation=self._adaptation,
            generations=settings.generations,
            segmenter=self._segmenter_limits(),
            status=self.status,
            metrics=metrics,
            reload=self._served.reload,
            plan=lambda: self._governor.plan(self._learning.planned_job()),
            corrected=self._served.look_back,
            shadow_readings=ShadowReadings(self._store),
        )
        control = ControlServer(settings.control.socket, lambda request: answer(service, request))
        stack.callback(control.close)
        hearing = self._served.hearing
        logger.info("serving at %s, %s route: %s", settings.control.socket, hearing.route, hearing.reason)

    def status(self) -> Event:
        """Everything `attune status` shows."""
        hearing = self._served.hearing
        listening = asdict(self._listener.status()) if self._listener else {"state": "off", "problem": self._deaf_because}
        return {
            "event": "status",
            "version": version(),
            "process": os.getpid(),
            "uptime_seconds": time.time() - self._started_at,
            "state_dir": self._settings.state_dir,
            "route": hearing.route,
            "route_reason": hearing.reason,
            "routes": sorted(hearing.ears),
            "unloaded": not self._served.open,
            "encoder": self._served.encoder_runs_by,
            "generation": hearing.generation,
            "problems": [*hearing.problems, *filter(None, [self._housekeeping.problem])],
            "listening": listening,
            "attentive": self._attention.needed,
            "quiet_seconds": self._attention.quiet_seconds(),
            "counts": asdict(self._store.counts(self._settings.adapt.min_confidence)),
            "adaptation": self._adaptation.status(),
            "shadow": self._shadow.status(),
            "last_turns": [asdict(turn) for turn in self._store.last_turns(_SHOWN_TURNS)],
        }

    def _govern(self) -> Governor:
        budget = self._settings.budget
        return Governor(
            budget.allowed_bytes,
            budget.unload,
            footprints_path(self._settings.cache_dir),
            self._bare_bytes,
            unload=self._unload,
            load=self._served.load,
        )

    def _unload(self) -> None:
        self._served.unload()
        self._shadow.let_go()

    def _converse(self) -> Conversation:
        manners = self._settings.conversation
        return Conversation(
            self._served.serving,
            self._store,
            self._events,
            self._attention,
            Manners(manners.max_reply_tokens, manners.forget_after_seconds, manners.barge_in, self._settings.audio.keep),
            self._clocks,
        )

    def _hear_along(self) -> Shadow:
        settings = self._settings
        return Shadow(
            settings.generations,
            ShadowReadings(self._store),
            self._served.serving,
            self._attention,
            self._events,
            ShadowLimits(
                settings.adapt.shadow_turns,
                settings.adapt.shadow_days,
                settings.conversation.forget_after_seconds,
                settings.conversation.max_reply_tokens,
            ),
            open_ears=self._served.ears_of,
            on_promoted=lambda generation: self._served.put_to_use(generation, "its time in shadow was over"),
            clocks=self._clocks,
        )

    def _keep_engines(self) -> EngineKeeper:
        settings, served = self._settings, self._served

        def reopen() -> None:
            served.reopen()
            self._shadow.let_go()

        return EngineKeeper(
            served.files,
            settings.engines.encoder_precision,
            settings.cache_dir,
            self._attention,
            self._events,
            served_by_plan=lambda: served.encoder_runs_by == TENSORRT,
            reopen=reopen,
            may_run=lambda: served.open and self._adaptation.status()["state"] == "waiting",
            clocks=self._clocks,
            command=self._engine_command,
        )

    def _adapt(self) -> Adaptation:
        settings, learning = self._settings, self._learning

        def ended(record: RoundRecord) -> None:
            learning.record(record)
            if record.outcome in ("refused", "shadowed"):  # what is served was judged anew: it may have earned another route
                self._served.reload()
            self._housekeeping.tidy_or_tell()

        adaptation = Adaptation(
            Rounds(
                settings.generations,
                settings.state_dir / "jobs",
                limits_of(settings),
                shadow_turns=settings.adapt.shadow_turns,
                command=self._command,
            ),
            snapshot=learning.snapshot,
            build_job=learning.build_job,
            on_promoted=lambda generation: self._served.put_to_use(generation, "its round ended"),
            record=ended,
            governor=self._governor,
            clock=self._clocks.monotonic,
            wall_clock=self._clocks.wall,
        )
        self._attention.watch(lambda needed: adaptation.speech_started() if needed else adaptation.speech_ended())
        adaptation.subscribe(lambda status: self._events.publish({"event": "adaptation", **status}))
        return adaptation

    def _listen(self, stack: ExitStack) -> None:
        """Hear the microphone, or the recording in its place. Without either the daemon answers commands."""
        source = self._open_source()
        if source is None:
            return
        answered = hand_on(
            self._conversation,
            self._attention,
            self._events,
            lambda segment: self._conversation.hear(segment, wait=bool(self._settings.audio.source)),
        )
        self._listener = Listener(source, SileroVad(), Segmenter(self._segmenter_limits()), answered)
        self._listener.start()
        stack.callback(self._listener.join)
        stack.callback(self._listener.stop)

    def _open_source(self) -> AudioSource | None:
        audio = self._settings.audio
        if audio.source == "none":
            self._deaf_because = "audio.source is none"
            return None
        if audio.source:
            return WavSource(Path(audio.source).expanduser(), audio.speed)
        try:
            return Microphone(audio.device)
        except AttuneError as error:
            self._deaf_because = str(error)
            logger.warning("no microphone, so only commands are answered: %s", error)
            return None

    def _segmenter_limits(self) -> SegmenterLimits:
        try:
            return SegmenterLimits(**self._settings.segmenter.model_dump())
        except ValueError as error:
            raise AttuneError(f"the settings of [segmenter] contradict each other: {error}") from error


def refuse_strangers() -> None:
    """Raises AttuneError where another distribution has put a package of the same name in the way of one of ours."""
    home = Path(__file__).resolve().parent.parent
    for name in ("daemon", "engines", "calibration"):
        found = importlib.util.find_spec(name)
        place = Path(found.origin).resolve().parent.parent if found and found.origin else None
        if place != home:
            raise AttuneError(
                f"the package {name} of {home} is shadowed by {place}; install Attune into an environment of its own"
            )


def version() -> str:
    """Of the installed distribution."""
    try:
        return importlib.metadata.version("attune")
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Run a daemon until `stop` is set; `ready` is called once it answers. Raises AttuneError where it cannot serve."""
    with App(settings, open_voice):
        ready()
        stop.wait()
