"""Writes a choice that was made by a command into a settings file of its own, beside those that
people write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.models.manifest import settings_folders

from .sources import LoadedSettings


@dataclass(frozen=True)
class Choice:
    """A choice that was written."""

    path: Path
    _before: bytes | None

    def undo(self) -> None:
        """Put back what was there before. Raises AttuneError if that cannot be written."""
        _write(self.path, self._before)


def choose(
    topic: str, key: str, value: str, command: str, load: Callable[[], LoadedSettings]
) -> Choice:
    """Set `key` (`section.name`) to `value` in `attune.toml.d/TOPIC.toml` of the user's folder of
    settings, or of the machine's for root. `command` is named in the file as its writer.

    Raises AttuneError, and writes nothing, if another source counts more, by what `load` returns,
    or the value is refused.
    """
    path = settings_folders()[-1] / "attune.toml.d" / f"{topic}.toml"
    choice = Choice(path, path.read_bytes() if path.is_file() else None)
    section, _, name = key.partition(".")
    _write(path, f'# Written by `{command}`.\n[{section}]\n{name} = "{value}"\n'.encode())
    try:
        origin = load().origins[key]
    except AttuneError:
        choice.undo()
        raise
    if origin == str(path):
        return choice
    choice.undo()
    raise AttuneError(
        f"with --config, {path} is not read; set {key} in your own file"
        if origin == "default"
        else f"{key} is set by {origin}, which counts more than {path}; set it there"
    )


def _write(path: Path, content: bytes | None) -> None:
    try:
        if content is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        path.chmod(0o644)  # a daemon that runs as another user reads it
    except OSError as error:
        raise AttuneError(f"{path} cannot be written ({error.strerror})") from error
