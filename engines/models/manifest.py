"""The manifests of models, the shipped one and those of the machine and of the user: the source,
the licence and the files of each model. Knows not what models do."""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Self

import platformdirs
from pydantic import Field, ValidationError, model_validator

from ..errors import AttuneError
from ..files import write_atomically
from ..schema import Frozen, first_problem

MANIFEST = Path(__file__).with_name("models.toml")
OWN_MANIFEST = "models.toml"
"""The name of a manifest of one's own, in a folder of settings."""
LANGUAGE_MODEL, SPEECH_MODEL = "language model", "speech encoder and transcriber"
"""The roles of models that the settings can name."""
_MACHINE = Path("/etc/attune")
NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"


_PATH, _SHA256 = r"^[\w*][\w.*-]*(/[\w*][\w.*-]*)*$", r"^[0-9a-f]{64}$"


class ModelFile(Frozen):
    """One file of a model, or several where `path` holds a `*`."""

    path: str = Field(pattern=_PATH)
    """A relative path, never hidden and never upwards."""
    sha256: str = Field(pattern=_SHA256)
    size_bytes: int = Field(alias="bytes", ge=0)


class JoinedFile(Frozen):
    """One file of a model that is published in parts: packages have a largest size."""

    path: str = Field(pattern=_PATH)
    sha256: str = Field(pattern=_SHA256)
    size_bytes: int = Field(alias="bytes", ge=0)
    parts: tuple[str, ...] = Field(min_length=1)
    """The paths of the files of origins that make it up, in order. They are not kept."""


class Origin(Frozen):
    """A source and the files that come from it."""

    source: str = Field(
        pattern=r"^(hf:[^@]+@.+|pypi:[^=]+==[^:]+:.*|npm:[^:]+@[^:@]+:.*|deb:[^:]+:.+|file:.+)$"
    )
    files: tuple[ModelFile, ...] = Field(min_length=1)


class Model(Frozen):
    """One entry of the manifest."""

    name: str
    role: str
    licence: str
    default: bool = False
    """Whether the demo and the tests need the model."""
    origins: tuple[Origin, ...] = Field(alias="origin", min_length=1)
    joined: tuple[JoinedFile, ...] = ()

    @model_validator(mode="after")
    def _has_parts(self) -> Self:
        there = {file.path for origin in self.origins for file in origin.files}
        for one in self.joined:
            if missing := set(one.parts) - there:
                raise ValueError(f"no origin has {min(missing)}, a part of {one.path}")
        return self

    @property
    def files(self) -> tuple[ModelFile | JoinedFile, ...]:
        """The files that are kept."""
        parts = {part for one in self.joined for part in one.parts}
        obtained = (file for origin in self.origins for file in origin.files)
        return (*(file for file in obtained if file.path not in parts), *self.joined)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """The sha256 of its one file, or of the list of its files."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return sha256_of_list({file.path: file.sha256 for file in self.files})

    @property
    def is_folder(self) -> bool:
        return len(self.files) > 1 or "*" in self.files[0].path

    def folder(self, cache_dir: Path) -> Path:
        """The folder of its files below `cache_dir` once they are fetched."""
        return cache_dir / "models" / self.sha256

    def found(self, cache_dir: Path) -> Path | None:
        """The folder of its files, below `cache_dir` or among the system's data; None where it is
        in neither."""
        shared = [Path(place) / "models" / self.sha256 for place in _shared_folders()]
        return next(
            (folder for folder in (self.folder(cache_dir), *shared) if folder.is_dir()), None
        )

    def within(self, folder: Path) -> Path:
        """The path that an engine opens in `folder`: the one file, or the folder of several."""
        return folder if self.is_folder else folder / self.files[0].path


class _Manifest(Frozen):
    model: tuple[Model, ...]


_MAX_MANIFEST_BYTES = 1 << 20


def load_manifest(path: Path | None = None) -> Mapping[str, Model]:
    """The models by name: those of the file `path`, in its order, or else all of them, the shipped
    ones first, and of two others of one name that of the user. Raises AttuneError where a file
    cannot be read, does not fit the schema, or gives a shipped model's name to another."""
    if path is not None:
        return _models(path, path.stat().st_mtime_ns if path.is_file() else 0)
    found = dict(load_manifest(MANIFEST))
    for folder in settings_folders():
        own = folder / OWN_MANIFEST
        if own.is_file():
            models = load_manifest(own)
            if taken := load_manifest(MANIFEST).keys() & models.keys():
                raise AttuneError(
                    f"the model manifest {own} gives the name {min(taken)}, which a model that"
                    " comes with Attune has; choose another"
                )
            found |= models
    return found


@cache
def _models(path: Path, _changed_ns: int) -> Mapping[str, Model]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_MANIFEST_BYTES + 1)
        if len(text) > _MAX_MANIFEST_BYTES:
            raise AttuneError(f"the model manifest {path} is larger than 1 MiB")
        manifest = _Manifest.model_validate(tomllib.loads(text.decode()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AttuneError(f"the model manifest {path} cannot be read ({error})") from error
    except ValidationError as error:
        where, what = first_problem(error)
        raise AttuneError(f"the model manifest {path} is wrong at {where}: {what}") from error
    return {model.name: model for model in manifest.model}


def settings_folders() -> list[Path]:
    """The folders of settings: that of the machine, then, unless this is root, that of the user,
    whose files override it."""
    own = [] if os.geteuid() == 0 else [platformdirs.user_config_path("attune")]
    return [_MACHINE, *own]


def write_manifest(path: Path, models: Iterable[Model]) -> None:
    """Write a manifest of one's own; comments in it are lost. Raises OSError where it cannot be
    written."""
    text = "# Written by `attune models add` and `attune models remove`.\n"
    for model in models:
        text += "\n[[model]]\n"
        for key, value in (("name", model.name), ("role", model.role), ("licence", model.licence)):
            text += f"{key} = {json.dumps(value)}\n"
        for origin in model.origins:
            text += f"\n[[model.origin]]\nsource = {json.dumps(origin.source)}\nfiles = [\n"
            for file in origin.files:
                text += f"    {{ path = {json.dumps(file.path)}, sha256 = {json.dumps(file.sha256)}"
                text += f", bytes = {file.size_bytes} }},\n"
            text += "]\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    path.chmod(0o644)  # a daemon that runs as another user reads it


def find_model(name: str, manifest: Path | None = None) -> Model:
    """The entry called `name`. Raises AttuneError with the known names where there is none."""
    models = load_manifest(manifest)
    if name not in models:
        raise AttuneError(f"no model is called {name!r}; there are {', '.join(models)}")
    return models[name]


def sha256_of_list(hashes: Mapping[str, str]) -> str:
    """The sha256 of the lines that `sha256sum` prints for files with these `hashes`, sorted by
    path."""
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _shared_folders() -> list[str]:
    """The folders in which the system keeps data of Attune's ($XDG_DATA_DIRS), in order of
    precedence."""
    return str(platformdirs.site_data_dir("attune", multipath=True)).split(os.pathsep)
