"""TensorRT plans on the disk: the key under which one may be used, its measurements, and its
quarantine.

A plan serves only the graph, the TensorRT, the kind of GPU and the system that it was built with;
its name is made of all of them. Knows no TensorRT.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from ..device.crash_marker import boot_id
from ..files import sha256_of, write_atomically
from ..jobs.engine_jobs import GraphPrecision
from ..schema import Frozen, read_json

_Model = TypeVar("_Model", bound=BaseModel)
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 600.0, 86_400.0


class PlanKey(Frozen):
    """Everything that a plan was built from and for."""

    graph_sha256: str
    precision: GraphPrecision
    tensorrt: str
    compute_capability: str
    l4t: str
    """The release of a Jetson's Linux; empty on other machines."""
    workspace_bytes: int
    refits: bool = True
    """Whether the plan takes other weights; those of earlier versions do not."""

    @property
    def name(self) -> str:
        """A name that is the same for equal keys, and differs for others."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class PlanCard(Frozen):
    """The measurements of a plan when it was built."""

    key: PlanKey
    sha256: str
    built_at: float
    """The time of the build, in seconds since the epoch."""
    build_seconds: float
    peak_bytes: int
    """The peak resident memory of the process that built it."""
    cosine: float
    """The mean cosine between its frames and those that ONNX Runtime computes from the same
    graph."""
    milliseconds: float
    """The median time for two seconds of speech."""


class Quarantine(Frozen):
    """The reason why a plan is not used, and since when."""

    key: PlanKey
    reason: str
    at: float
    """The time of the last failure, in seconds since the epoch."""
    times: int
    """The number of failures in a row."""

    def is_over(self, now: float) -> bool:
        """Whether the plan may be built again: after ten minutes, doubled by every further failure,
        up to a day. `now` is in seconds since the epoch."""
        wait = min(_FIRST_WAIT_SECONDS * 2.0 ** (self.times - 1), _LONGEST_WAIT_SECONDS)
        return not 0 <= now - self.at < wait


def plans_folder(cache_dir: Path) -> Path:
    """The folder of the plans."""
    return cache_dir / "engines" / "plans"


def plan_path(folder: Path, key: PlanKey) -> Path:
    """The file of the plan of `key`."""
    return folder / f"{key.name}.plan"


def read_plan(folder: Path, key: PlanKey) -> PlanCard | None:
    """The card of the plan of `key`; None where there is no plan that is whole."""
    card = read_json(plan_path(folder, key).with_suffix(".json"), PlanCard)
    try:
        whole = (
            card is not None
            and card.key == key
            and sha256_of(plan_path(folder, key)) == card.sha256
        )
    except OSError:
        return None
    return card if whole else None


def keep_plan(folder: Path, card: PlanCard, plan: Path) -> None:
    """Move `plan`, a file that was flushed to the disk, to its place, and write its card. This ends
    its quarantine."""
    target = plan_path(folder, card.key)
    # A kill in between leaves a plan without a card, which is built anew.
    target.with_suffix(".json").unlink(missing_ok=True)
    plan.replace(target)
    write_atomically(target.with_suffix(".json"), card.model_dump_json(indent=1).encode())
    _quarantine_path(folder, card.key).unlink(missing_ok=True)


def note_tried(folder: Path, card: PlanCard) -> None:
    """Record that, since the machine started, a process of its own opened the plan of `card` and
    found its frames right."""
    write_atomically(_tried_path(folder, card.key), _tried(card).encode())


def was_tried(folder: Path, card: PlanCard) -> bool:
    """Whether the plan of `card` was tried since the machine started: since then nothing below it,
    such as the driver, can have changed."""
    try:
        return _tried_path(folder, card.key).read_text() == _tried(card)
    except OSError:
        return False


def quarantine(folder: Path, key: PlanKey, reason: str, now: float) -> Quarantine:
    """Put the plan of `key` in quarantine for `reason`, and remove its files. `now` is in seconds
    since the epoch."""
    before = read_quarantine(folder, key)
    found = Quarantine(
        key=key, reason=reason[:500], at=now, times=before.times + 1 if before else 1
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(_quarantine_path(folder, key), found.model_dump_json(indent=1).encode())
    for suffix in (".json", ".plan", ".tried"):
        plan_path(folder, key).with_suffix(suffix).unlink(missing_ok=True)
    return found


def read_quarantine(folder: Path, key: PlanKey) -> Quarantine | None:
    """The quarantine of the plan of `key`; None where it is in none."""
    return read_json(_quarantine_path(folder, key), Quarantine)


def list_plans(folder: Path) -> list[PlanCard | Quarantine]:
    """The cards of all plans and all quarantines, the latest first."""
    cards = [
        read_json(path, PlanCard)
        for path in sorted(folder.glob("*.json"))
        if not path.name.endswith(".quarantine.json")
    ]
    refused = [read_json(path, Quarantine) for path in sorted(folder.glob("*.quarantine.json"))]
    return sorted(
        filter(None, [*cards, *refused]),
        key=lambda one: -(one.built_at if isinstance(one, PlanCard) else one.at),
    )


def _tried_path(folder: Path, key: PlanKey) -> Path:
    return plan_path(folder, key).with_suffix(".tried")


def _tried(card: PlanCard) -> str:
    return f"{boot_id()} {card.sha256}"


def _quarantine_path(folder: Path, key: PlanKey) -> Path:
    return folder / f"{key.name}.quarantine.json"
