"""Reads the settings from files, environment and flags, each over the one before, and remembers
where each value came from.

An unknown key is an error everywhere, in one line that names the key, where it was set, and the
nearest known key.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from engines.errors import AttuneError
from engines.models.manifest import settings_folders
from engines.schema import first_problem
from engines.text_files import without_mark

from .settings import Settings, described_keys

_PREFIX = "ATTUNE__"
_MAX_FILE_BYTES = 1 << 20
PLACES = {
    "state_dir",
    "cache_dir",
    "control.socket",
    "audio.source",
    "adapt.hand_over",
    "storage.key_file",
}
"""Keys whose values are paths."""


@dataclass(frozen=True)
class LoadedSettings:
    settings: Settings
    origins: dict[str, str]
    """Where the value of each dotted key came from: `default`, a file's path, an environment
    variable, or `flag`."""


def load_settings(
    config: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Read every source and check the result.

    `config` is read instead of the usual files; `flags` maps dotted keys to values; `environment`
    is by default that of the process. Raises AttuneError for an unreadable file, an unknown key or
    a value out of range.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    origins = dict.fromkeys(described_keys(), "default")
    layers = [(str(path), _read_file(path)) for path in ([config] if config else _usual_files())]
    for origin, layer in layers:
        _check_places(layer, origin)
    layers += [
        (name, {_key_of(name): text})
        for name, text in sorted(environment.items())
        if name.startswith(_PREFIX)
    ]
    layers.append(("flag", dict(flags or {})))
    for origin, layer in layers:
        for key, value in layer.items():
            _check_known(key, origin, origins)
            if value == "" and origin.startswith(_PREFIX):
                continue  # an empty variable counts as one that is not set
            values[key], origins[key] = value, origin
    try:
        return LoadedSettings(Settings.model_validate(_nest(values)), origins)
    except ValidationError as error:
        key, what = first_problem(error)
        message = (what[:1].lower() + what[1:]).removeprefix("value error, ")
        if key not in origins:  # values that contradict each other
            read_from = sorted({origins[name] for name in values if name.startswith(key)})
            raise AttuneError(f"{message} (read from {', '.join(read_from)})") from error
        raise AttuneError(
            f"{key} = {error.errors()[0]['input']!r} ({origins.get(key, '?')}): {message}"
        ) from error


def _check_places(layer: Mapping[str, object], origin: str) -> None:
    """Raise AttuneError for a relative path in a file: it is not clear which folder it is relative
    to."""
    for key in PLACES & layer.keys():
        place = layer[key]
        if (
            isinstance(place, str)
            and place not in ("", "none")
            and not place.startswith(("/", "~"))
        ):
            raise AttuneError(
                f"{key} = {place!r} ({origin}): a path in a file begins with / or ~; write it out"
            )


def _usual_files() -> list[Path]:
    """Return the configuration files that exist: those of the machine, then those of the user,
    which override them."""
    found = []
    for folder in settings_folders():
        main = folder / "attune.toml"
        found += ([main] if main.exists() else []) + sorted(
            (folder / "attune.toml.d").glob("*.toml")
        )
    return found


def _read_file(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
        if len(text) > _MAX_FILE_BYTES:
            raise AttuneError(
                f"the configuration file {path} is larger than 1 MiB; is it the right file?"
            )
        return _flatten(
            tomllib.loads(without_mark(text, f"the configuration file {path}").decode())
        )
    except OSError as error:
        raise AttuneError(
            f"the configuration file {path} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:  # the syntax is not TOML, or the encoding is not UTF-8
        raise AttuneError(f"the configuration file {path} is not TOML: {error}") from error


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _nest(flat: Mapping[str, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        table = nested.setdefault(section, {}) if section else nested
        # A key that is both a value and a section is unknown, and was refused.
        assert isinstance(table, dict)
        table[name] = value
    return nested


def _key_of(variable: str) -> str:
    return variable.removeprefix(_PREFIX).lower().replace("__", ".")


def _check_known(key: str, origin: str, known: Sequence[str] | Mapping[str, str]) -> None:
    if key in known:
        return
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        raise AttuneError(
            f"{key} ({origin}) is a section, not a key; set {inside[0]} or another of its keys"
        )
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see `attune config show` for the known keys"
    raise AttuneError(f"unknown configuration key {key} ({origin}); {hint}")
