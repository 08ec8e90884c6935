"""A user who agreed that Attune keeps what is said."""

from contextlib import closing
from pathlib import Path

from daemon.privacy.consent import Consent
from daemon.store.store import Store


def agree(state_dir: Path) -> Path:
    """Note it in the state of a daemon that does not run."""
    with closing(Store(state_dir)) as store:
        Consent(store).decide(True, "command line")
    return state_dir
