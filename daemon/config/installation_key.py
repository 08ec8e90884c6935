"""Where the installation key is, and which places of an installation hold encrypted files."""

import os
from functools import cache
from pathlib import Path

import platformdirs

from engines.encryption.folders import plainly, protect, ring_of
from engines.encryption.key_file import (
    KEYS,
    InstallationKey,
    StoredKeys,
    has_keys,
    new_secret,
    read_installation_key,
    read_keys,
    write_keys,
)
from engines.encryption.keys import DataKey, KeyRing
from engines.errors import AttuneError
from engines.files import write_atomically
from engines.generations.folder import BASE

from .settings import Settings

CREDENTIAL = "attune.key"
"""The name of the credential by which systemd hands over the key."""
_OF_ROOT = Path("/etc/credstore") / CREDENTIAL
PLAIN_DATABASE = b"SQLite format 3\0"
"""The beginning of a database that is not encrypted."""


def key_path(settings: Settings) -> Path:
    """Where the installation key lies if systemd hands none over: where the settings say; or else
    in the user's folder of settings, apart from what it opens; or, if the state folder is not the
    user's usual one, within it."""
    if settings.storage.key_file:
        return Path(settings.storage.key_file)
    if settings.state_dir == platformdirs.user_state_path("attune"):
        return platformdirs.user_config_path("attune") / CREDENTIAL
    return settings.state_dir / CREDENTIAL


def credential_path() -> Path | None:
    """The installation key that systemd handed over; None if it did not. Raises AttuneError if
    systemd could not let this user have it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(folder) / CREDENTIAL
    try:
        return path if folder and path.is_file() else None
    except PermissionError:
        raise AttuneError(
            f"the credentials of systemd in {folder} cannot be read: permission denied; in a"
            " container, share its mounts with it (mount --make-rshared /), or run `systemctl edit"
            " attune` and give [Service] an empty LoadCredential="
        ) from None


def installation_keys(settings: Settings) -> list[InstallationKey]:
    """The installation keys that are there, the one to use first. Raises AttuneError if one cannot
    be read."""
    found = []
    if credential := credential_path():
        found.append(read_installation_key(credential, "the credential attune.key"))
    elif os.geteuid() == 0 and _OF_ROOT.is_file():  # the service has it as its credential
        found.append(read_installation_key(_OF_ROOT, str(_OF_ROOT)))
    if (path := key_path(settings)).exists():
        found.append(read_installation_key(path, str(path)))
    return found


def protected_places(settings: Settings) -> list[Path]:
    """The files, and the folders of files, that are encrypted."""
    state = settings.state_dir
    return [
        *(state / name for name in ("attune.db", "audio", "generations", "jobs", "wake")),
        settings.cache_dir / "features",
    ]


def protect_state(settings: Settings) -> None:
    """Have the files of an installation read as they are: encrypted, if it has data keys. They are
    opened when they are first needed."""

    @cache
    def find() -> KeyRing | None:
        if not has_keys(settings.state_dir):
            return None
        return read_keys(settings.state_dir, installation_keys(settings)).ring

    protect(protected_places(settings), find)
    protect([settings.generations / f"{BASE:04d}"], plainly)


def share_keys(settings: Settings, job: Path) -> None:
    """Have the file of a job encrypted, if what is stored is: whoever does the job gets the
    keys."""
    protect([job], lambda: ring_of(settings.state_dir / "audio"))


def use_ring(settings: Settings, ring: KeyRing) -> None:
    """Have the files of an installation encrypted with `ring` from now on."""
    protect(protected_places(settings), lambda: ring)
    protect([settings.generations / f"{BASE:04d}"], plainly)


def open_state(settings: Settings) -> StoredKeys:
    """Open the data keys of an installation, making them and its installation key where there are
    none, and have its files encrypted. Only who holds the state folder may call this.

    Raises AttuneError if a key is missing, wrong or cannot be written.
    """
    state = settings.state_dir
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        given = installation_keys(settings)
        if has_keys(state):
            stored = read_keys(state, given)
            if stored.opened_with != given[0]:  # another key is to be used from now on
                write_keys(state, stored.ring, given[0], taken_over=stored.taken_over)
                stored = StoredKeys(stored.ring, given[0], stored.taken_over)
        else:
            _refuse_lost_keys(state)
            key = given[0] if given else _new_key(key_path(settings))
            ring = KeyRing(DataKey.new())
            write_keys(state, ring, key, taken_over=False)
            stored = StoredKeys(ring, key, False)
    except OSError as error:
        raise AttuneError(
            f"the keys of what is stored cannot be written: {error.filename}: {error.strerror}; set"
            " storage.key_file to a place that can be written, or free the disk"
        ) from error
    use_ring(settings, stored.ring)
    return stored


def _refuse_lost_keys(state: Path) -> None:
    """Raise AttuneError if there is an encrypted database without the keys of it: with others
    nothing could be read any more, and all would seem to be damaged."""
    try:
        with (state / "attune.db").open("rb") as file:
            head = file.read(len(PLAIN_DATABASE))
    except FileNotFoundError:
        return
    if head and head != PLAIN_DATABASE:
        raise AttuneError(
            f"the database {state / 'attune.db'} is damaged, or needs {KEYS} or its copy, which are"
            " gone; put one of them back, or move the database aside"
        )


def _new_key(path: Path) -> InstallationKey:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, new_secret().encode())
    return read_installation_key(path, str(path))
