"""Whether anything of what is said may be kept now, and why."""

from dataclasses import dataclass

from .consent import Consent
from .private_time import PrivateTime


@dataclass(frozen=True)
class Keeping:
    """What decides it."""

    consent: Consent
    private: PrivateTime
    recordings: bool
    """Whether the settings want recordings kept at all."""

    @property
    def allowed(self) -> bool:
        """Whether what is said may be stored now."""
        return self.consent.agreed and not self.private.left_seconds
