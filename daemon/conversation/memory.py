"""What is remembered of the last turns of one conversation. Each client of Wyoming has one of its
own; microphone, command line, screens and `/api` share that of the device."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..abilities.abilities import Found
from ..events.turns import TurnAnswered
from ..tools.choosing import Exchange
from .dialogue import Doubted, Mode

DEVICE = ""
"""The name of the device's own conversation."""
_MOST_CONVERSATIONS = 32


@dataclass
class Memory:
    """The last turns of one conversation."""

    ended_at: float
    """When the last turn ended, in seconds that include time in suspension; before the first turn,
    when the conversation was met."""
    mode: Mode
    """What is done with what is heard."""
    user: int | None = None
    """The user whose conversation it is; None before the first turn."""
    last: TurnAnswered | None = None
    """The turn that was answered last; None if there is none, or it was taken back."""
    last_by_model: bool = False
    """Whether the language model answered it."""
    undo: Callable[[], None] | None = None
    """Takes back what an ability did in the last turn."""
    asked: Found | None = None
    """The last answer of an ability, if it was a question."""
    doubted: Doubted | None = None
    """What the user was asked about in the last turn."""
    exchanges: list[tuple[int, Exchange]] = field(default_factory=list)
    """The last requests to tools, each with the number of its turn."""
    suspended: object | None = None
    """The language model's part, while it is in another conversation; None if it has none."""

    def leave_model(self) -> None:
        """Let the language model know nothing of it any more."""
        self.suspended = None
        self.exchanges.clear()


class Memories:
    """The conversations that were met last, and the device's own."""

    def __init__(self, now: float, mode: Mode) -> None:
        """The device's own conversation begins at `now`, in seconds that include time in
        suspension. All begin with `mode`."""
        self._mode = mode
        self.device = Memory(now, mode)
        self._others: dict[str, Memory] = {}

    def of(self, name: str, now: float, user: int) -> Memory:
        """The conversation of that name with `user`. It begins at `now` if it is new, was
        forgotten, or was another user's, which is not theirs to hear of."""
        found = self.device if name == DEVICE else self._others.pop(name, None)
        if found is None or found.user not in (None, user):
            found = Memory(now, self._mode if found is None else found.mode)
        found.user = user
        if name == DEVICE:
            self.device = found
            return found
        self._others[name] = found  # the latest is the last
        if len(self._others) > _MOST_CONVERSATIONS:
            del self._others[next(iter(self._others))]
        return found

    def leave_model(self) -> None:
        """Another language model is in use, which knows none of them."""
        for one in (self.device, *self._others.values()):
            one.leave_model()
