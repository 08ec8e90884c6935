"""A user who agreed that Attune keeps what is said."""

from contextlib import closing
from pathlib import Path

from daemon.config.installation_key import open_state
from daemon.config.settings import Settings
from daemon.privacy.consent import Consent
from daemon.privacy.take_over import take_over
from daemon.store.store import Store


def agree(state_dir: Path) -> Path:
    """Note it in the state of a daemon that does not run."""
    settings = Settings(state_dir=state_dir, cache_dir=state_dir.parent / "cache")
    take_over(settings, open_state(settings))
    with closing(Store(state_dir)) as store:
        Consent(store).decide(True, "command line")
    return state_dir
