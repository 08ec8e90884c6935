"""The files that a round leaves in its folder between its stages, each of which is a process of its
own. Knows no training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from engines.encryption.files import read_file, write_file
from engines.generations.folder import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    PROJECTOR,
    RECOGNISER,
    WEIGHTS,
    Generation,
)
from engines.schema import Frozen

_DONE = ".done.json"


class StageRecord(Frozen):
    """The result of a stage; once it is written, the stage is done."""

    peak_bytes: int = 0
    """The peak resident memory."""
    stage_processor_seconds: float = 0.0
    """The processor time of the stage, all threads together; of a stage that was stopped and went
    on, that of its last process."""
    steps: int = 0
    skipped_steps: int = 0
    """The number of steps that were skipped for lack of memory."""
    processor_seconds: float = 0.0
    """The processor time of the steps, per thread."""
    wall_seconds: float = 0.0
    """The wall time of the steps, without pauses."""
    losses: dict[str, float] = Field(default_factory=dict)
    """The mean of each loss over the last tenth of the steps."""
    seconds_of_audio: float = 0.0
    """The length of the audio that was learnt from."""


class ChosenRecogniser(Frozen):
    """What was chosen of the recogniser that the round trained."""

    share: float | None = None
    """The share of what it learnt that it keeps; None where it is left out or none was trained."""
    left_out: str = ""
    """Why it is left out, for people."""


@dataclass(frozen=True)
class RoundFolder:
    """The paths below a job's folder."""

    folder: Path

    @property
    def trained(self) -> Path:
        """The projector as EmbedLink trained it."""
        return self.folder / WEIGHTS

    @property
    def distilled(self) -> Path:
        """The projector as distillation trained it; missing where distillation left it
        unchanged."""
        return self.folder / "distilled.safetensors"

    @property
    def weights(self) -> Path:
        """The projector as it would serve."""
        return self.distilled if self.distilled.is_file() else self.trained

    @property
    def trained_recogniser(self) -> Path:
        """The personal recogniser as it was trained."""
        return self.folder / f"trained.{RECOGNISER}"

    @property
    def recogniser(self) -> Path:
        """The personal recogniser as it would serve; missing where it does not help."""
        return self.folder / RECOGNISER

    @property
    def chosen(self) -> "ChosenRecogniser":
        """The choice of the recogniser. Raises ValueError where the file is damaged."""
        path = self._chosen
        return (
            ChosenRecogniser.model_validate_json(read_file(path))
            if path.is_file()
            else ChosenRecogniser()
        )

    def write_chosen(self, chosen: "ChosenRecogniser") -> None:
        write_file(self._chosen, chosen.model_dump_json().encode())

    @property
    def _chosen(self) -> Path:
        return self.folder / "chosen.json"

    def serving_recogniser(self, parent: Generation) -> Path | None:
        """The recogniser that the candidate serves with: the one that the round made, or that of
        `parent`; None for Whisper as it came."""
        return self.recogniser if self.recogniser.is_file() else parent.recogniser

    @property
    def replay(self) -> Path:
        """The replay set, as the round's own recogniser hears it."""
        return self.folder / "replay"

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
        """The ids of the examples whose labels do not fit their recordings; none where they were
        not compared.

        Raises ValueError where the file is damaged.
        """
        return tuple(json.loads(read_file(self._doubted))) if self._doubted.is_file() else ()

    def write_doubted(self, ids: Sequence[str]) -> None:
        write_file(self._doubted, json.dumps(list(ids)).encode())

    @property
    def _doubted(self) -> Path:
        return self.folder / "doubted.json"

    def checkpoint(self, stage: str) -> Path:
        return self.folder / f"{stage}.checkpoint.safetensors"

    def is_done(self, stage: str) -> bool:
        return self._record(stage).is_file()

    def finish(self, stage: str, record: StageRecord) -> None:
        write_file(self._record(stage), record.model_dump_json().encode())

    def record(self, stage: str) -> StageRecord:
        """The record of `stage`; an empty one where the stage was left out. Raises ValueError where
        it is damaged."""
        path = self._record(stage)
        return StageRecord.model_validate_json(read_file(path)) if path.is_file() else StageRecord()

    def records(self) -> dict[str, StageRecord]:
        """The record of each stage that is done."""
        found = (path.name.removesuffix(_DONE) for path in self.folder.glob(f"*{_DONE}"))
        return {stage: self.record(stage) for stage in found}

    def _record(self, stage: str) -> Path:
        return self.folder / f"{stage}{_DONE}"
