"""The jobs of the calibration child besides a round: a base projector, its corpus, measurements."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .bench_jobs import BenchJob
from .messages import AdaptJob, EngineFiles, Example, JobBase


class BaseJob(JobBase):
    """Write the shipped base projector as generation 0, and the encoder as ONNX: what set-up does
    once."""

    kind: Literal["base"] = "base"
    folder: Path
    """Where what is being made lies until it is done."""
    generations: Path
    engines: EngineFiles
    """`encoder` is written where it is missing."""
    features: Path
    """Gets the replay set."""


class CorpusJob(JobBase):
    """Make a corpus of encoder frames to train a base projector on."""

    kind: Literal["corpus"] = "corpus"
    threads: int = 1
    """Of each of `workers`."""
    folder: Path
    """Gets the shards; a build that was killed goes on from those that are there."""
    engines: EngineFiles
    kokoro: Path | None = None
    """The folder of the model `kokoro-82m`; None where no such voice is to speak."""
    piper: Path | None = None
    """The graph of the voice `piper-joe`; None where it is not to speak."""
    sources: list[Path] = Field(default_factory=list)
    """Manifests and folders of recordings; none for synthetic speech."""
    hours: float = 50.0
    """Of synthetic speech."""
    written: int = 800
    """Sentences that the language model writes for it."""
    workers: int = 2
    seed: int = 0


class TrainJob(JobBase):
    """Train a base projector on corpora."""

    kind: Literal["train"] = "train"
    folder: Path
    """Gets `projector.safetensors` and `card.json`, and the checkpoint from which a run that was
    killed goes on."""
    engines: EngineFiles
    corpora: list[Path]
    """Folders made by a corpus job."""
    start: Path | None = None
    """A projector to go on from; one that reads no first-pass transcripts learns to."""
    minutes: float
    """Of processor time per thread."""
    learning_rate: float = 8e-4
    batch: int = 16
    """Utterances in a step of each process."""
    atypical_times: int = 1
    """How often in an epoch an atypical voice's utterance is drawn; the others' are once."""
    seed: int = 0


class FootprintJob(JobBase):
    """Measure what the stages of a round take on this device."""

    kind: Literal["footprints"] = "footprints"
    folder: Path
    """Small rounds lie there while they are measured."""
    output: Path
    """Gets the figures, as `engines.jobs.footprints` writes them."""
    engines: EngineFiles
    base: Path
    """The folder of the generation that the rounds start from."""
    features: Path
    """Has the replay set."""
    recordings: list[Example]
    """Speech with texts, of which the rounds' utterances are put together."""
    system_prompt: str
    context_tokens: int = 2048
    distils: bool = False
    """Whether distillation is measured too."""
    lengths_seconds: list[float] = Field(default_factory=lambda: [6.0, 14.0, 28.0])
    """Of the utterances of each round: what grows is a line through these."""


class PrecisionJob(JobBase):
    """Make the speech encoder's other precisions, and measure them against the original."""

    kind: Literal["precision"] = "precision"
    folder: Path
    """Where what is being made lies until it is done."""
    engines: EngineFiles
    """`encoder` is the original; what is made goes beside it."""
    generation: Path
    """The folder of the one whose projector reads the frames."""
    examples: list[Example]
    """Every second one to compare on, the others to calibrate with."""
    checked_utterances: int = 200
    """At most, and as many to calibrate with."""


Job = AdaptJob | BaseJob | BenchJob | CorpusJob | FootprintJob | PrecisionJob | TrainJob
