"""Which of the other engines compute on the GPU: those that did so in a process of their own, since
the machine started.

An import proves nothing: packages that were built for other GPUs import, and die at the first
kernel.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..files import write_atomically
from ..schema import Frozen, read_json
from ..types import Device
from .crash_marker import boot_id, marked, was_fatal

ENCODER, LANGUAGE_MODEL, TRANSCRIBER = "onnxruntime_cuda", "llama_cuda", "ctranslate2_cuda"
"""The names of the self-test claims that show whether an engine computes on the GPU."""
CLAIMS = (ENCODER, LANGUAGE_MODEL, TRANSCRIBER)
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "llama-cpp-python", "ctranslate2")
_DIED = "the process that opened it on the GPU ended there"

logger = logging.getLogger(__name__)


class Trial(Frozen):
    """The result of trying one claim."""

    claim: str
    held: bool
    note: str = ""
    """The reason why the claim did not hold, for people."""


class Runtimes(Frozen):
    """The results of the trials, and the versions that were tried."""

    boot: str
    versions: dict[str, str]
    trials: tuple[Trial, ...] = ()

    @property
    def any_on_gpu(self) -> bool:
        return any(trial.held for trial in self.trials)

    def device(self, claim: str) -> Device:
        """The device of the engine that `claim` is about: the GPU where the claim held."""
        return "gpu" if self.on_gpu(claim) else "cpu"

    def on_gpu(self, claim: str) -> bool:
        """Whether `claim` held."""
        return any(trial.held for trial in self.trials if trial.claim == claim)

    def why(self, claim: str) -> str:
        """The reason why `claim` did not hold, for people; empty where it did."""
        return next(
            (trial.note for trial in self.trials if trial.claim == claim), "it was not tried yet"
        )


def runtimes_path(cache_dir: Path) -> Path:
    """The file of the results of the trials."""
    return cache_dir / "engines" / "runtimes.json"


def read_runtimes(path: Path) -> Runtimes | None:
    """The results of the trials; None where nothing was tried since the machine started and the
    packages were installed."""
    found = read_json(path, Runtimes)
    is_now = found is not None and (found.boot, found.versions) == (
        boot_id(),
        package_versions(_PACKAGES),
    )
    return found if is_now else None


@contextmanager
def opening(path: Path) -> Iterator[Runtimes | None]:
    """The results of the trials, for a caller that opens engines by them and has them compute
    before the block ends.

    Where the process of an earlier caller died in the block, no engine uses the GPU until the
    machine starts again.
    """
    mark = path.with_suffix(".opening")
    found = read_runtimes(path)
    if was_fatal(mark) and found is not None:
        logger.warning("engines run on the processor until the machine starts again: %s", _DIED)
        found = keep_runtimes(
            path,
            [
                trial.model_copy(update={"held": False, "note": trial.note or _DIED})
                for trial in found.trials
            ],
        )
    if found is None or not found.any_on_gpu:
        yield found
        return
    with marked(mark):
        yield found


def keep_runtimes(path: Path, trials: Sequence[Trial]) -> Runtimes:
    """Write the results of trials made now, and return them."""
    found = Runtimes(boot=boot_id(), versions=package_versions(_PACKAGES), trials=tuple(trials))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, found.model_dump_json(indent=1).encode())
    return found


def package_versions(packages: Sequence[str], absent: str = "") -> dict[str, str]:
    """The version of each of the Python `packages`; `absent` for one that is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = absent
    return found
