"""What a round leaves in its folder between its stages, each of which is a process of its own.
Knows no training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from engines.files import write_atomically
from engines.generations.folder import ADAPTER, ADAPTER_WEIGHTS, PROJECTOR, WEIGHTS
from engines.schema import Frozen

_DONE = ".done.json"


class StageRecord(Frozen):
    """How a stage went; once it is written, the stage is done."""

    peak_bytes: int = 0
    """Of resident memory."""
    steps: int = 0
    skipped_steps: int = 0
    """Those among them that memory did not suffice for."""
    processor_seconds: float = 0.0
    """Of the steps, per thread."""
    wall_seconds: float = 0.0
    """Of the steps by the clock, pauses left out."""
    losses: dict[str, float] = Field(default_factory=dict)
    """Means over the last tenth of the steps."""
    seconds_of_audio: float = 0.0
    """That were learnt from."""


@dataclass(frozen=True)
class RoundFolder:
    """Paths below a job's folder."""

    folder: Path

    @property
    def trained(self) -> Path:
        """The projector as EmbedLink made it."""
        return self.folder / WEIGHTS

    @property
    def distilled(self) -> Path:
        """The projector as distillation made it; missing where that left it alone."""
        return self.folder / "distilled.safetensors"

    @property
    def weights(self) -> Path:
        """The projector as it would serve."""
        return self.distilled if self.distilled.is_file() else self.trained

    @property
    def projector(self) -> Path:
        return self.folder / PROJECTOR

    @property
    def adapter(self) -> Path:
        return self.folder / ADAPTER

    @property
    def adapter_weights(self) -> Path:
        return self.folder / ADAPTER_WEIGHTS

    @property
    def doubted(self) -> tuple[str, ...]:
        """Ids of the examples whose labels do not fit their recordings; none where nobody has
        compared them.

        Raises ValueError where what was left is damaged.
        """
        return tuple(json.loads(self._doubted.read_text())) if self._doubted.is_file() else ()

    def write_doubted(self, ids: Sequence[str]) -> None:
        write_atomically(self._doubted, json.dumps(list(ids)).encode())

    @property
    def _doubted(self) -> Path:
        return self.folder / "doubted.json"

    def checkpoint(self, stage: str) -> Path:
        return self.folder / f"{stage}.checkpoint.safetensors"

    def is_done(self, stage: str) -> bool:
        return self._record(stage).is_file()

    def finish(self, stage: str, record: StageRecord) -> None:
        write_atomically(self._record(stage), record.model_dump_json().encode())

    def record(self, stage: str) -> StageRecord:
        """How `stage` went; an empty record where it was left out. Raises ValueError where the
        record is damaged."""
        path = self._record(stage)
        return (
            StageRecord.model_validate_json(path.read_bytes()) if path.is_file() else StageRecord()
        )

    def peaks(self) -> dict[str, int]:
        """Peak resident memory of each stage that is done, in bytes."""
        found = {path.name.removesuffix(_DONE): path for path in self.folder.glob(f"*{_DONE}")}
        return {stage: self.record(stage).peak_bytes for stage in found}

    def _record(self, stage: str) -> Path:
        return self.folder / f"{stage}{_DONE}"
