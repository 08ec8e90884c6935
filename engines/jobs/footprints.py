"""The memory and time that the stages of a round take, as measured on this device. Knows no budget.

Bytes are counted twice: `beside` a daemon that serves, which maps the language model's file and the
libraries already, and `alone`, where no other process does.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ..errors import AttuneError
from ..files import sha256_of, write_atomically
from ..schema import Frozen, read_json
from ..types import FRAME_SECONDS
from .messages import AdaptJob, EngineFiles, Example

OWN_PER_STEP = 8
REPLAYED_PER_STEP = 4
DISTILLED_PER_STEP = 8
RECOGNISE_MICRO_BATCHES = 2
"""The fewest micro-batches of the recogniser's step: whole, it takes 1.7 GB."""
LONGEST_LEARNT_SECONDS = 12.0
"""The longest utterance that the recogniser learns from: a step with longer ones would take too
much memory. They are decoded in pieces of ten seconds."""
_FRAME_BYTES = 2
"""The size of a number in an encoder frame, which is kept in float16."""
SHIPPED = Path(__file__).parent.parent / "base" / "footprints.json"
"""Figures of another machine: better than none until this device is measured."""


class Footprint(Frozen):
    """The footprint of one stage: a plane fitted to measurements."""

    beside_bytes: float
    """The peak beside a daemon that serves, with no positions and an adapter of rank 0."""
    alone_bytes: float
    """The peak without such a daemon, with no positions and an adapter of rank 0."""
    bytes_per_position: float = 0.0
    """The memory for each of `Footprints.positions`; 0 where it does not grow with them."""
    bytes_per_rank: float = 0.0
    """The memory for each rank of the adapter that is trained; 0 where none is."""
    micro_batches_bytes: float = Field(0.0, alias="parts_bytes")
    """The additional memory of a step of several micro-batches: gradients are kept from one to the
    next."""
    residual_bytes: float = 0.0
    """The distance of the farthest measurement from the plane."""
    seconds: float = 0.0
    """The time that the stage takes for any amount of work, without training."""
    seconds_per_utterance: float = 0.0
    """The additional time for each utterance that the stage hears."""
    seconds_per_audio_second: float = 0.0
    """The additional time for each second of these utterances."""

    def predicted_bytes(
        self, positions: int, *, beside: bool, rank: int = 0, accumulates: bool = False
    ) -> int:
        """The predicted peak, `beside` a daemon that serves or alone."""
        fixed = self.beside_bytes if beside else self.alone_bytes
        return round(
            fixed
            + self.bytes_per_position * positions
            + self.bytes_per_rank * rank
            + self.micro_batches_bytes * accumulates
        )


class Footprints(Frozen):
    """The footprints of all stages on one device."""

    machine: str
    measured_at: str
    """The time of the measurement, in ISO 8601, UTC."""
    encoder_sha256: str
    language_model_sha256: str
    frame_width: int
    """The length of the encoder's frames."""
    replay_seconds: float
    """The length of the longest replayed sentence."""
    stages: dict[str, Footprint]
    answering_bytes: int
    """The additional memory of a daemon while it answers the longest utterance."""
    left_bytes: int
    """The memory that a daemon keeps after its models are unloaded, over what it had before it
    opened them."""

    @property
    def models(self) -> tuple[str, str]:
        """The hashes of the speech model and of the language model."""
        return self.encoder_sha256, self.language_model_sha256

    def are_of(self, engines: EngineFiles) -> bool:
        """Whether these figures were measured with the models `engines`: others take something
        else."""
        try:
            found = sha256_of(engines.encoder_weights_file), sha256_of(engines.language_model)
        except OSError:
            return False
        return found == self.models

    def positions(self, stage: str, job: AdaptJob) -> int:
        """The most encoder frames that a stage of `job` holds at once.

        In training and distillation they are the frames of a step, each sample of which is as long
        as the longest; in judging those of the longest utterance; in other stages they do not
        matter (0).
        """
        trained = [example.seconds for example in job.examples if not example.holdout]
        if stage == "recognise":
            trained = [seconds for seconds in trained if seconds <= LONGEST_LEARNT_SECONDS]
            if not trained:
                return 0
        if stage in ("train", "recognise"):
            longest = max([self.replay_seconds, *trained])
            micro_batches = max(
                job.micro_batches, RECOGNISE_MICRO_BATCHES if stage == "recognise" else 1
            )
            samples = -(-(OWN_PER_STEP + REPLAYED_PER_STEP) // micro_batches)
        elif stage == "distil":
            longest, samples = (
                max(trained, default=0.0),
                -(-DISTILLED_PER_STEP // job.micro_batches),
            )
        elif stage == "judge":
            longest, samples = max((example.seconds for example in job.judged), default=0.0), 1
        else:
            return 0
        return samples * round(longest / FRAME_SECONDS)

    def predicted_bytes(self, stage: str, job: AdaptJob, *, beside: bool) -> int:
        """The predicted peak of a stage of `job`. Raises KeyError for a stage that was never
        measured."""
        found = self.stages[stage].predicted_bytes(
            self.positions(stage, job),
            beside=beside,
            rank=rank_of(job),
            accumulates=job.micro_batches > 1,
        )
        return found + self.kept_bytes(stage, job)

    def kept_bytes(self, stage: str, job: AdaptJob) -> int:
        """The memory of the frames that training keeps from beginning to end; 0 for other
        stages."""
        if stage != "train":
            return 0
        frames = (
            sum(example.seconds for example in job.examples if not example.holdout) / FRAME_SECONDS
        )
        return round(frames * self.frame_width * _FRAME_BYTES)

    def predicted_seconds(self, stage: str, job: AdaptJob) -> float:
        """The predicted time of a stage of `job`; training takes all that it is allowed."""
        found = self.stages[stage]
        bound = {
            "recognise": job.recogniser.seconds if job.recogniser else 0.0,
            "train": job.training_seconds,
            "distil": job.distil.seconds if job.distil else 0.0,
        }.get(stage, 0.0)
        heard = heard_in(stage, job)
        return (
            found.seconds
            + bound
            + found.seconds_per_utterance * len(heard)
            + found.seconds_per_audio_second * sum(example.seconds for example in heard)
        )


def heard_in(stage: str, job: AdaptJob) -> list[Example]:
    """The utterances that a stage of `job` hears; none where its time does not grow with them."""
    if stage in ("hear", "encode"):
        return [*job.examples, *job.general]
    return job.judged if stage in ("choose", "judge") else []


def rank_of(job: AdaptJob) -> int:
    """The rank of the adapter that `job` trains; 0 where it trains none."""
    return job.distil.rank if job.distil is not None else 0


def footprints_path(cache_dir: Path) -> Path:
    """The file with this device's footprints."""
    return cache_dir / "footprints.json"


def footprints_of(
    engines: EngineFiles, path: Path, stages: Sequence[str] = ()
) -> tuple[Footprints, bool]:
    """The footprints measured with these models, and whether those of all `stages` are of this
    device, whose are at `path`: a stage that was never measured here has those of another.

    Raises AttuneError where there are none for these models.
    """
    here, shipped = (
        next((found for found in read_footprints(one) if found.are_of(engines)), None)
        for one in (path, SHIPPED)
    )
    if here is not None and shipped is not None:
        both = here.model_copy(update={"stages": shipped.stages | here.stages})
        return both, here.stages.keys() >= set(stages)
    if here is not None:
        return here, True
    if shipped is not None:
        return shipped, False
    raise AttuneError(
        "the memory of a round was not measured with these models; run `attune calibrate memory`"
    )


class _File(Frozen):
    """The content of a file of footprints."""

    models: list[Footprints]
    """One for each speech model and language model that were measured together."""


def read_footprints(path: Path) -> list[Footprints]:
    """The footprints in the file, one for each pair of models; empty where there are none, or where
    another version wrote them."""
    found = read_json(path, _File)
    return found.models if found is not None else []


def write_footprints(path: Path, footprints: Footprints) -> None:
    """Add `footprints` to the file, in place of earlier ones of the same models, making its folder
    where that is missing."""
    others = [one for one in read_footprints(path) if one.models != footprints.models]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _File(models=[*others, footprints])
    write_atomically(path, content.model_dump_json(indent=1).encode())
