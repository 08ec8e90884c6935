"""A voice, open and ready. Knows no implementation and no loudspeaker."""

from collections.abc import Callable
from dataclasses import dataclass

from ..types import Float32


@dataclass(frozen=True)
class Voice:
    """One way of saying a text aloud."""

    name: str
    """Its name in the settings and in `attune voices list`."""
    rate_hz: int
    """The sample rate of what it says."""
    speak: Callable[[str], Float32]
    """Says a sentence or a clause: [N] mono samples at `rate_hz`, about -1 to 1; empty where
    nothing in the text can be said. Raises AttuneError where the voice fails."""
    close: Callable[[], None] = lambda: None
    """Frees what the voice holds beside memory of this process. It says nothing more then: a text
    that another thread is having spoken fails."""
