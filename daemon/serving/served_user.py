"""Chooses the user who is served: by hand, or by the voice of what is said."""

import logging
from collections.abc import Callable, Mapping
from typing import Literal

from engines.types import Float32
from engines.voiceprint.attribution import Heard
from engines.voiceprint.profile import Profile

from ..events.bus import Events
from ..events.users import UserServed
from ..users.users import User, Users
from .manager import ModelManager

logger = logging.getLogger(__name__)


class ServedUser:
    """Who is served. May be used by any thread that holds no model."""

    def __init__(
        self,
        users: Users,
        models: ModelManager,
        events: Events,
        whose: Callable[[Float32], Heard],
        profiles: Callable[[], Mapping[int, Profile]],
        by_voice: bool,
        may_keep: Callable[[], bool] = lambda: True,
    ) -> None:
        """`whose` tells whose voice samples are, by `profiles`. Without `by_voice` the voice
        changes nothing. Unless `may_keep`, a switch by voice is stored nowhere."""
        self._users = users
        self._models = models
        self._events = events
        self._whose = whose
        self._profiles = profiles
        self.by_voice = by_voice
        self._may_keep = may_keep
        self._next: User | None = None
        """Who is served as soon as no thread holds the models."""

    @property
    def now(self) -> User:
        """The user who is served, or will be from the next turn on."""
        return self._next or self._users.served

    def switch_later(self, user: User) -> None:
        """Serve `user` from the next turn on. May be called by a thread that holds the models."""
        self._next = user

    def switch_if_due(self) -> bool:
        """Do what `switch_later` asked for. Returns whether somebody else was served. Raises
        AttuneError as `switch`."""
        user, self._next = self._next, None
        return user is not None and self.switch(user)

    def switch(
        self, user: User, by: Literal["hand", "voice"] = "hand", confidence: float | None = None
    ) -> bool:
        """Serve `user` from the next turn on. Returns whether somebody else was served. Raises
        AttuneError if that cannot be stored."""
        if not self._models.serve_user(user.id, kept=by == "hand" or self._may_keep()):
            return False
        logger.debug("user %d is served, by %s", user.id, by)
        self._events.publish(UserServed(name=user.name, by=by, confidence=confidence))
        return True

    def told_by_voice(self, samples: Float32) -> tuple[User, float] | None:
        """Return the user whose voice [N] samples at SAMPLE_RATE_HZ are, and the probability; None
        if they are who is served, or it is not clear, or nobody is told by the voice."""
        if not self.by_voice or not self._profiles().keys() - {self.now.id}:
            return None
        heard = self._whose(samples)
        user = None if heard.user is None else self._users.get(heard.user)
        if user is None or user.id == self.now.id:
            return None
        return user, heard.confidence
