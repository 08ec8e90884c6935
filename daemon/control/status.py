"""Collects the daemon's status: all of it for `attune status`, one line for a service manager."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..attention import Attention
from ..clocks import Clocks
from ..config.settings import Settings
from ..conversation.conversation import Conversation
from ..conversation.turn_pace import TurnPace
from ..events.privacy import KeepingStatus
from ..events.service import LabelsLeftOut, Status
from ..events.speaking import SpeakingStatus
from ..events.wake import WakeStatus
from ..housekeeping import Housekeeping
from ..installation import version
from ..listening.input import AudioInput
from ..listening.wake import WakePlan
from ..privacy.keeping import Keeping
from ..promotion.shadow import Shadow
from ..serving.manager import ModelManager
from ..serving.served_user import ServedUser
from ..speaking.chosen_voice import NONE
from ..speaking.speaker import Speaker
from ..store.label_check import TOLD, LabelFault
from ..store.store import Store
from ..training.round_inputs import RoundInputs
from ..training.scheduler import RoundScheduler
from ..users.users import Users

_SHOWN_TURNS = 5
_SHOWN_UTTERANCES = 100
"""Number of utterances with a faulty label that are named one by one."""


@dataclass(frozen=True)
class StatusReader:
    """Reads the status of every part."""

    settings: Settings
    clocks: Clocks
    started_at: float
    """Time at which the daemon started, in seconds of `clocks.elapsed`."""
    models: ModelManager
    store: Store
    users: Users
    served: ServedUser
    attention: Attention
    audio_input: AudioInput
    wake: WakePlan | None
    """None if everything is heard."""
    pace: TurnPace
    conversation: Conversation
    alarms: Callable[[], tuple[str, ...]]
    """Returns every timer, alarm and reminder, for people."""
    keeping: Keeping
    tools: Callable[[], str]
    """Returns which tools the language model may call and why, for people; empty if there are
    none."""
    speaker: Speaker | None
    housekeeping: Housekeeping
    inputs: RoundInputs
    scheduler: RoundScheduler
    shadow: Shadow
    network_problem: Callable[[], str]
    """Returns why clients on the network are not served; empty if they are, or none are to be."""
    settings_problem: Callable[[], str]
    """Returns why the settings in the files are not those in use; empty if they are."""

    def status(self) -> Status:
        """Return everything that `attune status` shows."""
        routes, problem = self.models.routes, self.settings_problem()
        return Status(
            version=version(),
            process=os.getpid(),
            uptime_seconds=self.clocks.elapsed() - self.started_at,
            state_dir=str(self.settings.state_dir),
            route=routes.route,
            route_reason=routes.reason,
            routes=tuple(sorted(routes.loaded)),
            unloaded=not self.models.open,
            encoder=self.models.encoder_runs_by,
            generation=routes.generation,
            settings_problem=problem,
            problems=(
                *routes.problems,
                *filter(None, [self.housekeeping.problem]),
                *self.store.problems(),
                *filter(None, [self.network_problem(), problem]),
            ),
            listening=self.audio_input.status(),
            wake=self._wake(),
            user=self.served.now.name if len(self.users.all) > 1 else "",
            mode=self.conversation.mode,
            end_of_turn=self.pace.why,
            alarms=self.alarms(),
            keeping=keeping_status(self.keeping),
            tools=self.tools(),
            speaking=self._speaking(),
            attentive=self.attention.needed,
            quiet_seconds=self.attention.quiet_seconds(),
            counts=self.store.counts(self.settings.adapt.label_confidence, self.users.served.id),
            labels_left_out=_left_out(self.inputs.label_faults()),
            adaptation=self.scheduler.status(),
            shadow=self.shadow.status(),
            last_turns=tuple(self.store.history.last_turns(_SHOWN_TURNS)),
        )

    def _wake(self) -> WakeStatus:
        if self.wake is None:
            return WakeStatus()
        return WakeStatus(
            word=self.wake.word,
            phrase=self.wake.phrase,
            open=self.wake.gate.is_open,
            problem=self.wake.problem,
        )

    def _speaking(self) -> SpeakingStatus:
        if self.speaker is None:
            return SpeakingStatus(voice=NONE)
        found = self.speaker.status()
        return SpeakingStatus(
            voice=found.voice or self.settings.speaking.voice,
            loudspeaker=found.loudspeaker,
            speaking=found.speaking,
            problem=found.problem,
        )

    def line(self) -> str:
        """Return what the daemon is doing, in one line for a service manager."""
        routes, learning = self.models.routes, self.scheduler.status()
        by = "" if routes.generation is None else f" by generation {routes.generation}"
        return (
            f"{self.audio_input.state}; {routes.route} route{by}; learning: {learning.state}"
            f" {learning.stage}"
        )


def keeping_status(keeping: Keeping) -> KeepingStatus:
    """Return whether what is said is kept, and why."""
    last = keeping.consent.last
    return KeepingStatus(
        now=keeping.allowed,
        agreed=last.agreed if last is not None else None,
        by=last.by if last is not None else "",
        since=last.at if last is not None else None,
        recordings=keeping.recordings,
        private_seconds=keeping.private.left_seconds,
    )


def _left_out(faults: Mapping[str, LabelFault]) -> LabelsLeftOut:
    """Count the labels that no round learns from, by reason, and name their utterances."""
    return LabelsLeftOut(
        count=len(faults),
        reasons={TOLD[fault]: count for fault, count in Counter(faults.values()).items()},
        utterances={
            utterance: TOLD[fault] for utterance, fault in list(faults.items())[:_SHOWN_UTTERANCES]
        },
    )
