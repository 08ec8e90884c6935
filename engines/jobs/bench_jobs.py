"""The jobs of `attune bench`. Know no benchmark."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .messages import DistilRecipe, EngineFiles, Example, JobBase


class _BenchJob(JobBase):
    folder: Path
    """Gets `figures.json`, `picture.svg`, and what each set was heard as."""
    engines: EngineFiles
    base: Path
    """The folder of the generation to start from."""
    features: Path
    """Cache of encoder frames, with the replay set."""
    enrol: Path
    """A manifest, as every other one: JSON lines of `audio` and `text`."""
    judge: list[Path]
    system_prompt: str
    seed: int = 0


class BenchAdaptJob(_BenchJob):
    """Measure personal rounds on one speaker, from more and more of their enrolment."""

    kind: Literal["bench-adapt"] = "bench-adapt"
    general: Path | None = None
    """What must not be forgotten; None for the shipped retention set, `general_examples`."""
    general_examples: list[Example] = Field(default_factory=list)
    minutes: list[float]
    """Of enrolment, for each round."""
    training_seconds: float
    learning_rate: float


class BenchQualityJob(_BenchJob):
    """Train the papers' designs on the same recordings, and judge each of them.

    The frames of what is trained on are made anew, whatever `features` has, for their time counts.
    """

    kind: Literal["bench-quality"] = "bench-quality"
    designs: dict[str, float]
    """Which, in order, and how many minutes each is trained."""
    judged_utterances: int = 40
    """Of the first judged set, at each point of the curve."""
    reply_utterances: int = 40
    reply_tokens: int = 24


class BenchSpeakersJob(JobBase):
    """Make speakers to benchmark with."""

    kind: Literal["bench-speakers"] = "bench-speakers"
    folder: Path
    """Gets a manifest and a folder of recordings for each."""
    recordings: Path
    """The folder of the model `general-speech`."""
    kokoro: Path
    """The folder of the model `kokoro-82m`."""


class BenchMemoryJob(JobBase):
    """Measure what steps of distillation take in memory."""

    kind: Literal["bench-memory"] = "bench-memory"
    folder: Path
    """Gets `figures.json`; the models lie there while they are measured."""
    shapes: list[str]
    positions: list[int]
    """Tokens of the conversation in a step, a measurement for each."""
    steps: int = 3
    seed: int = 0


class BenchDistilJob(_BenchJob):
    """Measure what distillation is worth: one generation, distilled in several ways, each judged by
    the replies.

    `base` is the generation to start from: the shipped one, or one that learnt a speaker.
    """

    kind: Literal["bench-distil"] = "bench-distil"
    recipes: dict[str, DistilRecipe]
    learnt_utterances: int = 100
    """Of the enrolled ones, drawn as `BenchAdaptJob` draws them."""
    reply_utterances: int = 50
    reply_tokens: int = 24


BenchJob = BenchAdaptJob | BenchDistilJob | BenchMemoryJob | BenchQualityJob | BenchSpeakersJob
