"""What the stages of a round take in memory and time on this device, as it was measured. Knows no
budget.

Bytes are counted twice: `beside` a daemon that serves, which maps the language model's file and
libraries already, and `alone`, where nobody does.
"""

from pathlib import Path

from pydantic import Field

from ..errors import AttuneError
from ..files import sha256_of, write_atomically
from ..schema import Frozen, read_json
from ..types import FRAME_SECONDS
from .messages import AdaptJob, EngineFiles

OWN_PER_STEP = 8
REPLAYED_PER_STEP = 8
DISTILLED_PER_STEP = 8
_FRAME_BYTES = 2
"""Encoder frames are kept in float16."""
SHIPPED = Path(__file__).parent.parent / "base" / "footprints.json"
"""Measured elsewhere, with the embedded default: better than nothing until this device was
measured."""


class Footprint(Frozen):
    """Of one stage: a plane through what was measured."""

    beside_bytes: float
    """Where a step holds no positions, through an adapter of rank 0."""
    alone_bytes: float
    bytes_per_position: float = 0.0
    """Of `Footprints.positions`; 0 where nothing grows."""
    bytes_per_rank: float = 0.0
    """Of the adapter that is trained; 0 where none is."""
    micro_batches_bytes: float = Field(0.0, alias="parts_bytes")
    """What a step of several micro-batches takes more: gradients are kept from one to the next."""
    residual_bytes: float = 0.0
    """How far the farthest measurement lies from the plane."""
    seconds: float = 0.0
    """Whatever there is to do."""
    seconds_per_utterance: float = 0.0
    """That is heard, trained on or judged."""

    def predicted_bytes(
        self, positions: int, *, beside: bool, rank: int = 0, accumulates: bool = False
    ) -> int:
        """The peak, beside a daemon that serves or alone."""
        fixed = self.beside_bytes if beside else self.alone_bytes
        return round(
            fixed
            + self.bytes_per_position * positions
            + self.bytes_per_rank * rank
            + self.micro_batches_bytes * accumulates
        )


class Footprints(Frozen):
    """All that was measured on one device."""

    machine: str
    measured_at: str
    """ISO 8601, UTC."""
    encoder_sha256: str
    language_model_sha256: str
    frame_width: int
    """Of the encoder."""
    replay_seconds: float
    """The longest replayed sentence."""
    stages: dict[str, Footprint]
    answering_bytes: int
    """What a daemon that serves takes more while it answers the longest utterance."""
    left_bytes: int
    """What a daemon whose models are unloaded takes more than before it opened them."""

    def are_of(self, engines: EngineFiles) -> bool:
        """Whether they were measured with these models: others take something else."""
        try:
            found = sha256_of(engines.encoder_weights_file), sha256_of(engines.language_model)
        except OSError:
            return False
        return found == (self.encoder_sha256, self.language_model_sha256)

    def positions(self, stage: str, job: AdaptJob) -> int:
        """Encoder frames that a stage of `job` holds at once, at most.

        In training and distillation those of a step, each sample of which is as long as the
        longest; where it is judged, those of the longest utterance; elsewhere none that would
        count.
        """
        trained = [example.seconds for example in job.examples if not example.holdout]
        if stage == "train":
            longest = max([self.replay_seconds, *trained])
            samples = -(-(OWN_PER_STEP + REPLAYED_PER_STEP) // job.micro_batches)
        elif stage == "distil":
            longest, samples = (
                max(trained, default=0.0),
                -(-DISTILLED_PER_STEP // job.micro_batches),
            )
        elif stage == "judge":
            judged = [*(example for example in job.examples if example.holdout), *job.general]
            longest, samples = max((example.seconds for example in judged), default=0.0), 1
        else:
            return 0
        return samples * round(longest / FRAME_SECONDS)

    def predicted_bytes(self, stage: str, job: AdaptJob, *, beside: bool) -> int:
        """The peak of a stage of `job`. Raises KeyError for a stage that was never measured."""
        found = self.stages[stage].predicted_bytes(
            self.positions(stage, job),
            beside=beside,
            rank=rank_of(job),
            accumulates=job.micro_batches > 1,
        )
        return found + self.kept_bytes(stage, job)

    def kept_bytes(self, stage: str, job: AdaptJob) -> int:
        """Of the frames that training keeps all along; 0 for other stages."""
        if stage != "train":
            return 0
        frames = (
            sum(example.seconds for example in job.examples if not example.holdout) / FRAME_SECONDS
        )
        return round(frames * self.frame_width * _FRAME_BYTES)

    def predicted_seconds(self, stage: str, job: AdaptJob) -> float:
        """How long a stage of `job` takes; training as long as it is allowed to."""
        found = self.stages[stage]
        judged = [example for example in job.examples if example.holdout]
        count = {
            "hear": len(job.examples) + len(job.general),
            "judge": len(judged) + len(job.general),
        }.get(stage, 0)
        bound = {
            "train": job.training_seconds,
            "distil": job.distil.seconds if job.distil else 0.0,
        }.get(stage, 0.0)
        return found.seconds + bound + found.seconds_per_utterance * count


def rank_of(job: AdaptJob) -> int:
    """Of the adapter that `job` trains; 0 where it trains none."""
    return job.distil.rank if job.distil is not None else 0


def footprints_path(cache_dir: Path) -> Path:
    """Where what was measured on this device lies."""
    return cache_dir / "footprints.json"


def footprints_of(engines: EngineFiles, path: Path) -> tuple[Footprints, bool]:
    """What was measured with these models, and whether it was on this device, which keeps it at
    `path`.

    Raises AttuneError where nobody has.
    """
    for place in (path, SHIPPED):
        found = read_footprints(place)
        if found is not None and found.are_of(engines):
            return found, place == path
    raise AttuneError(
        "nobody measured what a round takes with these models; run `attune calibrate memory`"
    )


def read_footprints(path: Path) -> Footprints | None:
    """What was measured; None where nothing was, or by another version."""
    return read_json(path, Footprints)


def write_footprints(path: Path, footprints: Footprints) -> None:
    """Keep what was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, footprints.model_dump_json(indent=1).encode())
