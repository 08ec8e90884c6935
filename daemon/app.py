"""The composition root: starts every part of the daemon in order and stops them in reverse. The one
place that wires them."""

import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

from engines.device.memory import proportional_bytes
from engines.generations.folder import sweep
from engines.jobs.footprints import footprints_path
from engines.whisper.encoder_tensorrt import TENSORRT

from .attention import Attention
from .clocks import REAL_TIME, Clocks
from .config import Settings
from .control.handlers import Service, answer
from .control.metrics import Metrics
from .control.server import ControlServer, hold_socket, hold_state
from .conversation.conversation import Conversation, Manners
from .conversation.speech_input import hand_on
from .events import Event, Events
from .housekeeping import Housekeeping
from .installation import refuse_strangers, version
from .jobs.engine_builds import ENGINE_COMMAND, EngineBuilds
from .jobs.launch import as_child, handing_over
from .listening.input import AudioInput, AudioSources
from .promotion.regression import look_back
from .promotion.shadow import Shadow, ShadowLimits
from .promotion.shadow_readings import ShadowReadings
from .serving.manager import ModelManager
from .serving.models import ServingModels, open_models
from .store.database import DatabaseBusyError
from .store.label_audit import counted_faults
from .store.labelling import Labeller
from .store.orphans import adopt_orphans
from .store.store import Store
from .systemd import Watchdog
from .training.memory_guard import MemoryGuard
from .training.round_inputs import RoundInputs, limits_of
from .training.rounds import RoundRecord, Rounds
from .training.scheduler import Adaptation

logger = logging.getLogger(__name__)

_SHOWN_TURNS = 5
_QUIET_POLL_SECONDS = 0.02


class App:
    """A running daemon. Entering starts it, leaving stops it."""

    def __init__(
        self,
        settings: Settings,
        open_models: Callable[[Settings], ServingModels] = open_models,
        command: tuple[str, ...] | None = None,
        clocks: Clocks = REAL_TIME,
        engine_command: tuple[str, ...] = ENGINE_COMMAND,
        watchdog: Watchdog | None = None,
        sources: AudioSources | None = None,
        listening: socket.socket | None = None,
        start_anew: Callable[[], "Future[None]"] | None = None,
        settings_problem: str = "",
    ) -> None:
        """`command` runs a round's job in place of the calibration child, `engine_command` one
        about engines.

        What outlives this daemon is given: `sources` of sound, the socket where commands come in,
        `listening`, and what has another one take its place by settings that are read again,
        `start_anew`, whose result says whether they were accepted.
        """
        self._engine_command = engine_command
        self._settings = settings
        self._clocks = clocks
        self._open_models = open_models
        self._command = command
        self._watchdog = watchdog or Watchdog(None, lambda: None)
        self._sources = sources
        self._listening = listening
        self._start_anew = start_anew or _no_other_settings
        self.settings_problem = settings_problem
        """Why the settings as they are now are not those that are served, for people; empty where
        they are."""
        self._stack = ExitStack()
        self._started_at = clocks.elapsed()

    def __enter__(self) -> "App":
        """Raises AttuneError, with everything stopped that was started, where the daemon cannot
        serve."""
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
        self._store = Store(settings.state_dir, self._clocks)
        stack.callback(self._store.close)
        self._adopt_orphans()
        sweep(settings.generations)
        self._events, self._attention = Events(), Attention(self._clocks.monotonic)
        self._models = ModelManager(
            settings,
            self._open_models,
            self._store,
            self._events,
            lambda: self._guard.need_models(),
        )
        stack.callback(self._models.close)
        self._guard = self._make_guard()
        self._shadow = self._hear_along()
        self._conversation = self._converse()
        stack.callback(self._conversation.close)
        labeller = Labeller(
            self._store, self._attention, self._models.transcribe, ready=lambda: self._models.open
        )
        labeller.start()
        self._housekeeping = Housekeeping(
            settings, self._store, self._attention, self._models.moves, self._clocks
        )
        self._housekeeping.start()
        stack.callback(self._housekeeping.stop)
        self._learning = RoundInputs(
            settings,
            self._store,
            self._attention,
            labeller,
            self._models.files,
            self._models.general,
            self._clocks,
        )
        self._adaptation = self._adapt()
        self._adaptation.start()
        stack.callback(self._adaptation.stop)
        # Before adaptation, which may be labelling what a round learns from.
        stack.callback(labeller.stop)
        self._engine_builds = self._make_engine_builds()
        self._engine_builds.start()
        stack.callback(self._engine_builds.stop)
        self._shadow.start()
        stack.callback(self._shadow.stop)
        self._input = self._open_input(
            self._sources or stack.enter_context(closing(AudioSources()))
        )
        self._input.start()
        stack.callback(self._input.stop)
        metrics = Metrics(self.status)
        self._events.watch(metrics.note)
        service = Service(
            conversation=self._conversation,
            serving=self._models.serving,
            attention=self._attention,
            events=self._events,
            store=self._store,
            adaptation=self._adaptation,
            generations=settings.generations,
            segmenter=settings.segmenter.limits(),
            status=self.status,
            metrics=metrics,
            moves=self._models.moves,
            plan=lambda: self._guard.plan(self._learning.planned_job()),
            corrected=self._look_back,
            shadow_readings=ShadowReadings(self._store),
            start_anew=self._start_anew,
        )
        listening = self._listening or stack.enter_context(hold_socket(settings.control.socket))
        self._control = ControlServer(
            listening, lambda request, client: answer(service, request, client)
        )
        stack.callback(self._control.close)
        # First: who waits for a reply is told, and the rest goes on beside it.
        stack.callback(self._conversation.stop_answering)
        routes = self._models.routes
        logger.info(
            "serving at %s, %s route: %s", settings.control.socket, routes.route, routes.reason
        )

    def status(self) -> Event:
        """Everything `attune status` shows."""
        routes = self._models.routes
        return {
            "event": "status",
            "version": version(),
            "process": os.getpid(),
            "uptime_seconds": self._clocks.elapsed() - self._started_at,
            "state_dir": self._settings.state_dir,
            "route": routes.route,
            "route_reason": routes.reason,
            "routes": sorted(routes.loaded),
            "unloaded": not self._models.open,
            "encoder": self._models.encoder_runs_by,
            "generation": routes.generation,
            "settings_problem": self.settings_problem,
            "problems": (
                [
                    *routes.problems,
                    *filter(None, [self._housekeeping.problem]),
                    *self._store.problems(),
                ]
                + ([self.settings_problem] if self.settings_problem else [])
            ),
            "listening": self._input.status(),
            "attentive": self._attention.needed,
            "quiet_seconds": self._attention.quiet_seconds(),
            "counts": asdict(self._store.counts(self._settings.adapt.min_confidence)),
            "labels_left_out": counted_faults(self._learning.label_faults()),
            "adaptation": self._adaptation.status(),
            "shadow": self._shadow.status(),
            "last_turns": [asdict(turn) for turn in self._store.last_turns(_SHOWN_TURNS)],
        }

    def state(self) -> str:
        """What is going on, in one line for a service manager."""
        routes, learning = self._models.routes, self._adaptation.status()
        by = "" if routes.generation is None else f" by generation {routes.generation}"
        return (
            f"{self._input.state}; {routes.route} route{by}; learning: {learning['state']}"
            f" {learning['stage']}"
        )

    def turn_away(self, patience_seconds: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Take no more commands, and wait until nobody speaks or waits for a reply; not for longer,
        nor where there is `hurry`.

        Whoever connects meanwhile waits for whoever is given the socket next.
        """
        self._control.turn_away()
        until = time.monotonic() + patience_seconds
        while self._attention.needed and time.monotonic() < until and not hurry():
            time.sleep(_QUIET_POLL_SECONDS)

    def take_commands(self) -> None:
        """Take commands again after `turn_away`."""
        self._control.take_again()

    def _adopt_orphans(self) -> None:
        try:
            adopt_orphans(self._store, self._clocks.wall())
        except DatabaseBusyError as error:
            logger.warning(
                "audio files that no row names are looked for at the next start: %s", error
            )

    def _make_guard(self) -> MemoryGuard:
        budget = self._settings.budget
        return MemoryGuard(
            budget.allowed_bytes,
            budget.unload,
            footprints_path(self._settings.cache_dir),
            self._bare_bytes,
            unload=self._unload,
            load=self._models.load,
        )

    def _unload(self) -> None:
        self._models.unload()
        self._shadow.let_go()

    def _converse(self) -> Conversation:
        manners = self._settings.conversation
        return Conversation(
            self._models.serving,
            self._store,
            self._events,
            self._attention,
            Manners(
                manners.max_reply_tokens,
                manners.forget_after_seconds,
                manners.barge_in,
                self._settings.audio.keep,
                manners.max_reply_seconds,
            ),
            self._clocks,
            alive=self._watchdog.watch("conversation"),
        )

    def _hear_along(self) -> Shadow:
        settings = self._settings
        return Shadow(
            settings.generations,
            ShadowReadings(self._store),
            self._models.serving,
            self._attention,
            self._events,
            ShadowLimits(
                settings.adapt.shadow_turns,
                settings.adapt.shadow_days,
                settings.conversation.forget_after_seconds,
                settings.conversation.max_reply_tokens,
            ),
            load_route=self._models.load_route,
            moves=self._models.moves,
            clocks=self._clocks,
        )

    def _make_engine_builds(self) -> EngineBuilds:
        settings, models = self._settings, self._models

        def reopen() -> None:
            models.reopen()
            self._shadow.let_go()

        return EngineBuilds(
            models.files,
            settings.engines.encoder_precision,
            settings.cache_dir,
            self._attention,
            self._events,
            threads=settings.engines.threads,
            served_by_plan=lambda: models.encoder_runs_by == TENSORRT,
            reopen=reopen,
            may_run=lambda: models.open and self._adaptation.status()["state"] == "waiting",
            clocks=self._clocks,
            command=self._engine_command,
        )

    def _adapt(self) -> Adaptation:
        settings, learning = self._settings, self._learning

        def ended(record: RoundRecord) -> None:
            learning.record(record)
            # What is served was judged anew: it may have earned another route.
            if record.outcome in ("refused", "shadowed"):
                self._models.reload()
            self._housekeeping.tidy_or_tell()

        adaptation = Adaptation(
            Rounds(
                settings.generations,
                settings.state_dir / "jobs",
                limits_of(settings),
                shadow_turns=settings.adapt.shadow_turns,
                command=self._command,
                launch=(
                    handing_over(Path(settings.adapt.hand_over))
                    if settings.adapt.hand_over
                    else as_child
                ),
            ),
            snapshot=learning.snapshot,
            build_job=learning.build_job,
            moves=self._models.moves,
            record=ended,
            guard=self._guard,
            clock=self._clocks.monotonic,
            wall_clock=self._clocks.wall,
        )
        self._attention.watch(
            lambda needed: adaptation.speech_started() if needed else adaptation.speech_ended()
        )
        adaptation.subscribe(lambda status: self._events.publish({"event": "adaptation", **status}))
        return adaptation

    def _look_back(self) -> None:
        if self._settings.adapt.roll_back:
            look_back(self._models, self._store, self._events)

    def _open_input(self, sources: AudioSources) -> AudioInput:
        audio = self._settings.audio
        answered = hand_on(
            self._conversation,
            self._attention,
            self._events,
            lambda segment: self._conversation.hear(segment, wait=bool(audio.source)),
        )
        return AudioInput(
            sources, audio, self._settings.segmenter.limits(), answered, self._watchdog
        )


def _no_other_settings() -> "Future[None]":
    """Of a daemon that was given its settings: there is nothing to be read again."""
    accepted: Future[None] = Future()
    accepted.set_result(None)
    return accepted
