"""TensorRT plans on the disk: under which key one may be used, what was measured of it, and which
are not to be trusted.

A plan is only good for the graph, the TensorRT, the kind of GPU and the system that it was built
for and with; its name is made of all of them. Knows no TensorRT.
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
    """What a plan was built of and for."""

    graph_sha256: str
    precision: GraphPrecision
    tensorrt: str
    compute_capability: str
    l4t: str
    """Empty where it is no Jetson."""
    workspace_bytes: int

    @property
    def name(self) -> str:
        """The same for the same key, another for any other."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class PlanCard(Frozen):
    """What was measured of a plan when it was built."""

    key: PlanKey
    sha256: str
    built_at: float
    """Seconds since the epoch."""
    build_seconds: float
    peak_bytes: int
    """Of the process that built it."""
    cosine: float
    """Of its frames with those that ONNX Runtime makes of the same graph, in the mean."""
    milliseconds: float
    """For two seconds of speech, median."""


class Quarantine(Frozen):
    """Why a plan is not used."""

    key: PlanKey
    reason: str
    at: float
    """Seconds since the epoch."""
    times: int
    """In a row."""

    def is_over(self, now: float) -> bool:
        """Whether it may be tried again: after ten minutes, doubled by every further time, up to a
        day."""
        wait = min(_FIRST_WAIT_SECONDS * 2.0 ** (self.times - 1), _LONGEST_WAIT_SECONDS)
        return not 0 <= now - self.at < wait


def plans_folder(cache_dir: Path) -> Path:
    """Where plans lie."""
    return cache_dir / "engines" / "plans"


def plan_path(folder: Path, key: PlanKey) -> Path:
    """Where the plan of `key` lies."""
    return folder / f"{key.name}.plan"


def read_plan(folder: Path, key: PlanKey) -> PlanCard | None:
    """The card of the plan of `key`; None where there is none that is whole."""
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
    """Put a plan that was written beside, and flushed, in its place; one that stood in quarantine
    leaves it."""
    target = plan_path(folder, card.key)
    # A kill in between leaves a plan without a card, which is built anew.
    target.with_suffix(".json").unlink(missing_ok=True)
    plan.replace(target)
    write_atomically(target.with_suffix(".json"), card.model_dump_json(indent=1).encode())
    _quarantine_path(folder, card.key).unlink(missing_ok=True)


def note_tried(folder: Path, card: PlanCard) -> None:
    """Keep that a process of its own opened the plan of `card` and found its frames right, since
    the machine started."""
    write_atomically(_tried_path(folder, card.key), _tried(card).encode())


def was_tried(folder: Path, card: PlanCard) -> bool:
    """Whether it was: since then nothing that a plan rests on can have changed below it, such as
    the driver."""
    try:
        return _tried_path(folder, card.key).read_text() == _tried(card)
    except OSError:
        return False


def quarantine(folder: Path, key: PlanKey, reason: str, now: float) -> Quarantine:
    """Never use the plan of `key` as it is: it is removed, and said why. `now` is in seconds since
    the epoch."""
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
    """Why the plan of `key` is not used; None where nothing speaks against it."""
    return read_json(_quarantine_path(folder, key), Quarantine)


def list_plans(folder: Path) -> list[PlanCard | Quarantine]:
    """All that are there and all that were refused, the latest first."""
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
