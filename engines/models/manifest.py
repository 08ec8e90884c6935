"""The manifest of models, and their verified copies on disk. Knows where files lie and what they
must be, not what they do.

A model is stored under `<cache>/models/<sha256>/`, which appears there by one rename, after every
file was verified. Or it came with a package of the system's, to `attune/models/<sha256>/` in a
folder of shared data, and is only read.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError

from ..errors import AttuneError
from ..files import one_at_a_time, sha256_of, sync_folder, sync_folders, write_atomically
from ..schema import Frozen, first_problem
from .sources import files_below, matching, obtain

MANIFEST = Path(__file__).with_name("models.toml")
_PARTIAL = ".partial-"
_log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Called with the bytes that have arrived and the bytes expected in all."""


class ModelFile(Frozen):
    """One file of a model, or many where `path` holds a `*`."""

    path: str = Field(pattern=r"^[\w*][\w.*-]*(/[\w*][\w.*-]*)*$")
    """Relative; never hidden, never upwards."""
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
    """Whether the demo and the tests need it."""
    origins: tuple[Origin, ...] = Field(alias="origin", min_length=1)

    @property
    def files(self) -> tuple[ModelFile, ...]:
        return tuple(file for origin in self.origins for file in origin.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """Of its one file, or of the list of its files."""
        if len(self.files) == 1:
            return self.files[0].sha256
        return _sha256_of_list({file.path: file.sha256 for file in self.files})

    @property
    def is_folder(self) -> bool:
        return len(self.files) > 1 or "*" in self.files[0].path

    def folder(self, cache_dir: Path) -> Path:
        """Where its files lie below `cache_dir` once they are fetched."""
        return cache_dir / "models" / self.sha256

    def found(self, cache_dir: Path) -> Path | None:
        """The folder with its files, there or among the system's data; None where it is in
        neither."""
        shared = [Path(place) / "models" / self.sha256 for place in _shared_folders()]
        return next(
            (folder for folder in (self.folder(cache_dir), *shared) if folder.is_dir()), None
        )

    def within(self, folder: Path) -> Path:
        """What an engine opens, of the files in `folder`: the one, or the folder of many."""
        return folder if self.is_folder else folder / self.files[0].path


class _Manifest(Frozen):
    model: tuple[Model, ...]


@cache
def load_manifest(path: Path = MANIFEST) -> Mapping[str, Model]:
    """Models by name, in the order of the file. Raises AttuneError where it cannot be read or does
    not fit the schema."""
    try:
        manifest = _Manifest.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AttuneError(f"the model manifest {path} cannot be read ({error})") from error
    except ValidationError as error:
        where, what = first_problem(error)
        raise AttuneError(f"the model manifest {path} is wrong at {where}: {what}") from error
    return {model.name: model for model in manifest.model}


def find_model(name: str, manifest: Path = MANIFEST) -> Model:
    """The entry called `name`. Raises AttuneError, listing the names, where there is none."""
    models = load_manifest(manifest)
    if name not in models:
        raise AttuneError(f"no model is called {name!r}; the manifest has {', '.join(models)}")
    return models[name]


def model_path(name: str, cache_dir: Path, manifest: Path = MANIFEST) -> Path:
    """Verified file or folder of a model. Raises AttuneError where it was not fetched, or is
    damaged.

    Its content is hashed only when a file's size or time differs from when it was last verified.
    """
    model = find_model(name, manifest)
    folder = model.found(cache_dir)
    if folder is None:
        raise AttuneError(
            f"the model {name} is not in {cache_dir}; run `attune models fetch {name}`"
        )
    seen = _stat_of_files(folder)
    if not seen or seen != _read_seen(model, cache_dir):
        if problem := _first_problem(model, folder):
            raise AttuneError(
                f"the model {name} is damaged: {folder}/{problem}; run `attune models fetch {name}`"
            )
        _remember(model, cache_dir, folder)
    return model.within(folder)


def verify(model: Model, cache_dir: Path) -> str | None:
    """Hash every file of `model`. Returns None where all is well, else what is wrong, in one
    line."""
    folder = model.found(cache_dir)
    return _first_problem(model, folder) if folder is not None else "not fetched"


def fetch(model: Model, cache_dir: Path, report: Report) -> Path:
    """Make sure that a verified copy of `model` is in `cache_dir`, fetching it only where there is
    none. Returns its path.

    Raises AttuneError where a source fails, where what it sent is not what the manifest says
    (nothing of it is kept), or where the disk is full. A fetch that runs at the same time is waited
    for.
    """
    folder = model.folder(cache_dir)
    try:
        with _lock(folder.parent):
            there = model.found(cache_dir)
            problem = _first_problem(model, there) if there is not None else "not fetched"
            if there is not None and problem is None:
                report(model.size_bytes, model.size_bytes)
                folder = there
            else:
                if there is not None:
                    _log.warning(
                        "the model %s was damaged (%s); fetching it again", model.name, problem
                    )
                _fetch(model, folder, report)
            _remember(model, cache_dir, folder)
    except OSError as error:
        advice = "free some space, or set cache_dir to a folder with room"
        raise AttuneError(
            f"the model {model.name} cannot be stored in {folder.parent} ({error.strerror});"
            f" {advice}"
        ) from error
    return model.within(folder)


def _fetch(model: Model, folder: Path, report: Report) -> None:
    free_bytes = shutil.disk_usage(folder.parent).free
    if free_bytes < 2 * model.size_bytes:  # the files, and the package that they come in
        needed = (
            f"{2 * model.size_bytes / 1e6:.0f} MB are needed to fetch it, {free_bytes / 1e6:.0f} MB"
            " are free"
        )
        raise AttuneError(
            f"the model {model.name} cannot be stored in {folder.parent}: {needed}; free some"
            " space, or set cache_dir"
        )
    scratch = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
    arrived_bytes = 0

    def arrived(size_bytes: int) -> None:
        nonlocal arrived_bytes
        arrived_bytes += size_bytes
        report(arrived_bytes, model.size_bytes)

    try:
        for origin in model.origins:
            obtain(
                origin.source,
                [(file.path, file.size_bytes) for file in origin.files],
                scratch,
                arrived,
            )
        if problem := _first_problem(model, scratch):
            sources = ", ".join(origin.source for origin in model.origins)
            raise AttuneError(
                f"the model {model.name} was refused: {problem} (from {sources}); nothing of it was"
                " kept, try again"
            )
        scratch.chmod(0o755)
        sync_folders(scratch)
        if folder.exists():
            os.rename(folder, Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent)))
        os.rename(scratch, folder)
        sync_folder(folder.parent)
    finally:
        _sweep(folder.parent)


@contextmanager
def _lock(models: Path) -> Iterator[None]:
    """One fetch at a time in `models`; the kernel gives the lock back even when a process is
    killed."""
    with one_at_a_time(models / ".lock"):
        _sweep(models)  # of fetches that were killed
        yield


def _sweep(models: Path) -> None:
    for partial in models.glob(f"{_PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)


def _first_problem(model: Model, folder: Path) -> str | None:
    names = files_below(folder)
    for file in model.files:
        found = matching(file.path, names)
        if not found:
            return f"{file.path} is missing"
        size_bytes = sum((folder / name).stat().st_size for name in found)
        if size_bytes != file.size_bytes:
            amount = "at least " if size_bytes > file.size_bytes else ""
            return f"{file.path} has {amount}{size_bytes} bytes, expected {file.size_bytes}"
        hashes = {name: sha256_of(folder / name) for name in found}
        sha256 = _sha256_of_list(hashes) if "*" in file.path else hashes[file.path]
        if sha256 != file.sha256:
            return f"{file.path} has the sha256 {sha256}, expected {file.sha256}"
    return None


def _sha256_of_list(hashes: Mapping[str, str]) -> str:
    """Of the lines that `sha256sum` prints for these files, sorted by path."""
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _shared_folders() -> list[str]:
    """Where the system keeps data of Attune's, the first first ($XDG_DATA_DIRS)."""
    return str(platformdirs.site_data_dir("attune", multipath=True)).split(os.pathsep)


def _stat_of_files(folder: Path) -> dict[str, list[int]]:
    # The change time cannot be set from outside, as the modification time can.
    stats = {str(folder / name): (folder / name).stat() for name in sorted(files_below(folder))}
    return {name: [stat.st_size, stat.st_ctime_ns] for name, stat in stats.items()}


def _seen_path(model: Model, cache_dir: Path) -> Path:
    """Where sizes and times of verified files are remembered, so that they are hashed again only
    when they have changed."""
    return cache_dir / "verified" / model.sha256


def _read_seen(model: Model, cache_dir: Path) -> object:
    try:
        return json.loads(_seen_path(model, cache_dir).read_text())
    except (OSError, ValueError):
        return None  # a note that cannot be read only costs another hashing


def _remember(model: Model, cache_dir: Path, folder: Path) -> None:
    path = _seen_path(model, cache_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(_stat_of_files(folder)).encode())
    except OSError as error:
        # Another user's cache: everything works, only slower.
        _log.debug("cannot note that %s is verified: %s", folder, error)
