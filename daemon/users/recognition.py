"""Tells whose voice each utterance is, while nobody needs the machine. Only what is known to be a
user's own is learned from.

An enrolled utterance is its user's. Of all others the voice decides, with a stated probability; if
that is not clear, it is nobody's.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from engines.audio.recordings import read_audio
from engines.device.memory import trim
from engines.errors import AttuneError
from engines.types import Float32
from engines.voiceprint.attribution import STRANGE, UNKNOWN, Heard, attribute, whose
from engines.voiceprint.cohort import read_cohort
from engines.voiceprint.model import VoiceprintModel
from engines.voiceprint.noise import NOISES, Noise, with_noise
from engines.voiceprint.profile import LEAST_ENROLLED, Profile, make_profile, own_probabilities

from ..attention import Attention
from ..idle_task import IdleTask
from ..store.database import DatabaseBusyError
from ..store.records import Spoken
from ..store.store import Store
from .users import Users
from .voiceprints import Voiceprints

logger = logging.getLogger(__name__)

PrintOf = Callable[[Float32], Float32 | None]
"""Returns the voiceprint of [N] samples at SAMPLE_RATE_HZ; None if too little is said."""
_JUDGED_TOGETHER = 2000
_MOST_SECONDS = 30.0


def open_model() -> PrintOf:
    """Open the model of voiceprints. Its memory is free again once nothing holds the result."""
    return VoiceprintModel().of


@dataclass(frozen=True)
class _Known:
    """What profiles were made of, and the profiles."""

    basis: Mapping[int, tuple[str, ...]]
    profiles: Mapping[int, Profile]
    doubtful: Mapping[int, tuple[str, ...]]
    """Those of them that sound like somebody else."""


class VoiceRecognition:
    """A thread that tells voices apart while nobody needs the machine; `tell` does it at once, from
    any thread."""

    def __init__(
        self,
        store: Store,
        users: Users,
        attention: Attention,
        may_run: Callable[[], bool] = lambda: True,
        open_model: Callable[[], PrintOf] = open_model,
    ) -> None:
        """Nothing is looked at while `may_run` returns False."""
        self._store = store
        self._users = users
        self._attention = attention
        self._may_run = may_run
        self._open_model = open_model
        self._prints = Voiceprints(store)
        self._lock = threading.Lock()
        self._kept_open: PrintOf | None = None
        """The model, once somebody waits for what it tells."""
        self._known = _Known({}, {}, {})
        self._told: Mapping[int, tuple[str, ...]] | None = None
        """What the profiles were made of by which everything was told last; None before that."""
        self._task = IdleTask("voice recognition", self.tell, attention)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """End the thread after the utterance that it looks at."""
        self._task.stop()

    @property
    def profiles(self) -> Mapping[int, Profile]:
        """The profiles of the users who have one, as far as `tell` made them."""
        return self._known.profiles

    def whose(self, samples: Float32) -> Heard:
        """Return whose voice [N] samples at SAMPLE_RATE_HZ are, by the profiles that there are."""
        profiles = self._known.profiles
        if not profiles:
            return UNKNOWN
        self._kept_open = self._kept_open or self._open_model()
        found = self._kept_open(samples)
        return UNKNOWN if found is None else whose(found, profiles, read_cohort())

    def doubtful(self, user: int) -> tuple[str, ...]:
        """The recordings of which the user's profile is made that sound like somebody else."""
        return self._known.doubtful.get(user, ())

    def tell(self, most: int | None = None) -> int:
        """Look at utterances whose voice nothing has looked at, the latest first, until a user
        speaks or `most` were looked at; then tell whose all are. Returns how many are told
        otherwise than before."""
        self._look(most)  # whoever else looks meanwhile is not waited for
        with self._lock:
            if not self._may_run():
                return 0
            self._know()
            if self._told == self._known.basis and not self._prints.any_untold:
                return 0
            changed = self._tell_all(everything=self._told != self._known.basis)
            self._told = self._known.basis
        if changed:
            logger.info("told whose voice %d utterances are", changed)
        return changed

    def _look(self, most: int | None) -> None:
        """Store the voiceprints that are missing: those of which profiles are made, and up to
        `most` others."""
        wanted: list[tuple[str, tuple[Noise, ...]]] = [
            (name, NOISES)
            for names in self._basis().values()
            for name in self._prints.missing(names)
        ]
        wanted += [(name, ("none",)) for name in self._prints.without(most)]
        if wanted:
            self._look_at(wanted, self._kept_open or self._open_model())
            trim()  # the model takes 40 MB while it is open

    def _look_at(self, wanted: list[tuple[str, tuple[Noise, ...]]], print_of: PrintOf) -> None:
        for name, noises in wanted:
            if self._must_stop:
                return
            utterance = self._store.utterance(name)
            if utterance is None:
                continue
            try:
                samples = read_audio(utterance.audio, _MOST_SECONDS)
                found = {noise: print_of(with_noise(samples, noise)) for noise in noises}
            except DatabaseBusyError:
                raise
            except AttuneError as error:
                logger.warning("the voice of utterance %s is not told: %s", name, error)
                found = dict.fromkeys(noises)
            self._prints.add(name, found)

    @property
    def _must_stop(self) -> bool:
        return self._attention.needed or self._task.stopping.is_set() or not self._may_run()

    def _basis(self) -> dict[int, tuple[str, ...]]:
        """The utterances of which each user's profile is made."""
        basis = {}
        for user in self._users.all:
            own = self._prints.own(user.id)
            if len(own) < LEAST_ENROLLED:
                own += self._prints.corrected(user.id)
            basis[user.id] = tuple(own)
        return basis

    def _know(self) -> None:
        """Make the profiles anew, if they are to be made of other utterances."""
        profiles, made_of, doubtful = {}, {}, {}
        for user, names in self._basis().items():
            before = self._known.basis.get(user)
            if names == before or self._prints.missing(names):  # if somebody spoke: next time
                if before is not None:
                    made_of[user] = before
                if user in self._known.profiles:
                    profiles[user] = self._known.profiles[user]
                    doubtful[user] = self._known.doubtful[user]
                continue
            made_of[user] = names
            found = self._prints.enrolled(names)
            if len(found) >= LEAST_ENROLLED:
                prints = np.stack(list(found.values()))
                profiles[user] = make_profile(prints, read_cohort())
                alike = own_probabilities(prints, read_cohort())
                doubtful[user] = tuple(
                    name for name, one in zip(found, alike, strict=True) if one < STRANGE
                )
        self._known = _Known(made_of, profiles, doubtful)

    def _tell_all(self, *, everything: bool) -> int:
        """Tell whose the latest utterances are, or everything."""
        changed = offset = 0
        while rows := self._prints.to_tell(_JUDGED_TOGETHER, offset):
            changed += self._store_changed(self._told_of(rows))
            offset += len(rows)
            if not everything and not self._prints.any_untold:
                break
        return changed

    def _told_of(self, rows: list[tuple[str, Float32 | None]]) -> list[Spoken]:
        profiles = self._known.profiles
        # Who is served and has no profile yet may have said it.
        served = self._prints.served([name for name, _ in rows])
        heard = [(name, print_) for name, print_ in rows if print_ is not None]
        found = dict(
            zip(
                (name for name, _ in heard),
                attribute([print_ for _, print_ in heard], profiles, read_cohort()),
                strict=True,
            )
        )
        return [
            Spoken(
                name,
                one.user,
                "voice" if one.user or (one.clear and served.get(name) in profiles) else "unclear",
                one.confidence if profiles and print_ is not None else None,
            )
            for name, print_ in rows
            for one in [found.get(name, UNKNOWN)]
        ]

    def _store_changed(self, told: list[Spoken]) -> int:
        """Store what is told otherwise than before; returns how many that were."""
        before = self._store.users_of([one.utterance for one in told])
        changed = [one for one in told if before.get(one.utterance) != (one.user, one.by)]
        self._store.set_users(changed)
        return len(changed)
