"""Gathers what a round needs from the store, the settings and the sensors: the snapshot for the
idle policy, and the job."""

import logging
import time
from pathlib import Path

from engines.errors import AttuneError
from engines.generations.folder import PROJECTOR
from engines.generations.pointers import number_in_shadow
from engines.jobs.messages import AdaptJob, DistilRecipe, EngineFiles, Example, RecogniserRecipe

from ..attention import Attention
from ..clocks import REAL_TIME, Clocks, is_set
from ..config.hours import hours_of
from ..config.settings import Settings
from ..privacy.consent import Consent
from ..store.faulty_labels import FaultyLabels
from ..store.label_audit import told_left_out
from ..store.label_check import LabelFault
from ..store.labelling import Labeller
from ..store.records import Counts, Round
from ..store.store import DATABASE, Store
from ..users.places import generations_of
from ..users.recognition import VoiceRecognition
from ..users.users import Users
from .idle import Limits, Snapshot
from .round_examples import round_examples
from .rounds import RoundRecord
from .selection import bounds_of
from .sensors import read_board

logger = logging.getLogger(__name__)

LABELLED_FIRST = 64
"""Number of utterances whose voice is told, and that are labelled, before a round begins, for which
it waits. Others are while nobody needs the machine."""


class RoundInputs:
    """Gives the scheduler's thread its inputs, and records how a round ended."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        consent: Consent,
        attention: Attention,
        users: Users,
        recognition: VoiceRecognition,
        labeller: Labeller,
        engines: EngineFiles,
        general: list[Example],
        clocks: Clocks = REAL_TIME,
    ) -> None:
        self._settings = settings
        self._store = store
        self._consent = consent
        self._attention = attention
        self._users = users
        self._recognition = recognition
        self._labeller = labeller
        self._engines = engines
        self._general = general
        self._clocks = clocks
        self._faulty_labels = FaultyLabels(store, settings.adapt.label_confidence)
        self._labels_at_start = 0
        self._user = users.served.id

    def snapshot(self) -> Snapshot:
        """Return the state of the machine and of the history, as they are now."""
        self._faulty_labels.found()  # checks a part of the labels each time
        self._user, counts = self._next_user()
        return Snapshot(
            board=read_board(self._settings.state_dir),
            labelled_utterances=counts.utterances - counts.unlabelled,
            new_utterances=counts.new_labels,
            speaking=self._attention.needed,
            seconds_since_speech=self._attention.quiet_seconds(),
            seconds_since_round=self._store.history.seconds_since_round(self._user),
            paused=not self._settings.idle.enabled,
            agreed=self._consent.agreed,
            in_shadow=number_in_shadow(generations_of(self._settings.generations, self._user)),
            minute_of_day=_minute_of_day(self._clocks.wall()),
        )

    @property
    def user(self) -> int:
        """The user whom the last snapshot was about: the one with most to learn from, or, if others
        have no more, who is served."""
        return self._user

    def _next_user(self) -> tuple[int, Counts]:
        served = self._users.served.id
        counts = {
            user.id: self._store.counts(self._settings.adapt.label_confidence, user.id)
            for user in self._users.all
        }
        waiting = {
            user
            for user in counts
            if number_in_shadow(generations_of(self._settings.generations, user)) is not None
        }  # no round begins while one of theirs is in shadow
        return max(
            counts.items(),
            key=lambda one: (one[0] not in waiting, one[1].new_labels, one[0] == served),
        )

    def build_job(self, number: int, parent: int, folder: Path, user: int) -> AdaptJob:
        """Make the job of a round of `user`. Raises AttuneError if there is nothing to learn
        from."""
        self._recognition.tell(LABELLED_FIRST)
        self._labeller.label(LABELLED_FIRST)
        self._labels_at_start = self._store.counts().last_label
        return self._job(number, parent, folder, user)

    def planned_job(self) -> AdaptJob:
        """Make the job that a round would have now, to be planned and not run. Raises AttuneError
        as `build_job` does."""
        return self._job(0, 0, self._settings.state_dir, self._users.served.id)

    def _job(self, number: int, parent: int, folder: Path, user: int) -> AdaptJob:
        settings = self._settings
        if not settings.adapt.recogniser_seconds and not trains_projector(settings, parent):
            raise AttuneError(
                "there is nothing that a round could train: set adapt.recogniser_seconds above 0"
            )
        bounds = bounds_of(settings.adapt.training_seconds)
        examples, left_out = round_examples(
            self._store, bounds, settings.adapt.label_confidence, user
        )
        if not any(not example.holdout for example in examples):
            raise AttuneError(_nothing_to_learn(left_out))
        return AdaptJob(
            folder=folder,
            generations=settings.generations,
            number=number,
            parent=parent,
            user=user,
            engines=self._engines,
            features=settings.cache_dir / "features",
            examples=examples,
            labels_left_out=left_out,
            general=self._general,
            system_prompt=settings.conversation.system_prompt,
            training_seconds=settings.adapt.training_seconds,
            learning_rate=settings.adapt.learning_rate,
            recogniser=recogniser_recipe(settings),
            trains_projector=trains_projector(settings, parent),
            distil=self._distil_recipe(),
            # Where another language model replies, it reads text, on either route.
            reply_utterances=(
                settings.adapt.reply_utterances if self._engines.replies is None else 0
            ),
            threads=settings.adapt.threads,
        )

    def _distil_recipe(self) -> DistilRecipe | None:
        """Return how a round distils; None if it does not, or nobody would read what it makes."""
        seconds = self._settings.adapt.distil_seconds
        return DistilRecipe(seconds=seconds) if seconds and not self._engines.replies else None

    def label_faults(self) -> dict[str, LabelFault]:
        """Return why labels cannot be true, by utterance, for those that no round learns from. If
        many labels are stored, only those that were checked so far are known."""
        return self._faulty_labels.found()

    def record(self, ended: RoundRecord) -> None:
        """Store how a round ended."""
        self._store.history.add_round(
            Round(
                ended.started_at,
                ended.ended_at,
                ended.generation,
                ended.outcome,
                ended.reason,
                self._labels_at_start,
                ended.user,
            )
        )


def trains_projector(settings: Settings, parent: int) -> bool:
    """Return whether a round trains the projector of generation `parent`: it is wanted, and there
    is one."""
    graph = settings.generations / f"{parent:04d}" / PROJECTOR
    return settings.adapt.projector and graph.is_file()


def recogniser_recipe(settings: Settings) -> RecogniserRecipe | None:
    """Return how a round trains the recogniser, from the settings; None if it does not."""
    seconds = settings.adapt.recogniser_seconds
    return RecogniserRecipe(seconds=seconds) if seconds else None


def limits_of(settings: Settings) -> Limits:
    """Return the limits of the idle policy, from the settings."""
    idle = settings.idle
    return Limits(
        quiet_seconds=idle.quiet_seconds,
        min_new_utterances=idle.min_new_utterances,
        min_minutes_between_rounds=idle.min_minutes_between_rounds,
        min_available_bytes=idle.min_available_bytes,
        max_temperature_celsius=idle.max_temperature,
        max_gpu_load_percent=idle.max_gpu_load_percent,
        hours=hours_of(idle.hours),
        on_battery=idle.on_battery,
    )


def _nothing_to_learn(left_out: dict[str, int]) -> str:
    if not left_out:
        return (
            "nothing is labelled yet, so there is nothing to learn from; speak, correct turns, or"
            " run `attune enroll --from MANIFEST`"
        )
    return (
        f"{told_left_out(left_out)}, so there is nothing to learn from; enrol recordings with the"
        " words that they have"
    )


def _minute_of_day(seconds_since_epoch: float) -> int | None:
    if not is_set(seconds_since_epoch):
        return None
    now = time.localtime(seconds_since_epoch)
    return 60 * now.tm_hour + now.tm_min


def stored_examples(settings: Settings) -> list[Example]:
    """Return the examples that a round would learn from and be judged by now. Works with and
    without a running daemon."""
    if not (settings.state_dir / DATABASE).is_file():
        return []
    store = Store(settings.state_dir)
    try:
        return round_examples(
            store, bounds_of(settings.adapt.training_seconds), settings.adapt.label_confidence
        )[0]
    finally:
        store.close()
