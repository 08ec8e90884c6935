"""The idle policy's limits, as the settings have them by default."""

from dataclasses import replace
from typing import Any

from daemon.config.settings import Settings
from daemon.training.idle import Limits
from daemon.training.round_inputs import limits_of


def limits(**changes: Any) -> Limits:
    """The default limits, some of them changed."""
    return replace(limits_of(Settings()), **changes)
