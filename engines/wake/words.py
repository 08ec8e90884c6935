"""The names of what can call."""

from typing import Literal, get_args

ReadyMade = Literal["okay_nabu", "hey_jarvis", "hey_mycroft", "hey_rhasspy", "alexa"]
READY_MADE: tuple[str, ...] = get_args(ReadyMade)
"""The wake words that come with the package pyopen-wakeword."""
NONE, BUTTON, OWN = "none", "button", "own"
"""Everything is heard; only a button calls; a phrase of the user's own calls."""
