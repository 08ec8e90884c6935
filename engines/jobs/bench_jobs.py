"""The jobs of `attune bench`. Know no benchmark."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .messages import DistilRecipe, EngineFiles, Example, JobBase, RecogniserRecipe


class _BenchJob(JobBase):
    folder: Path
    """The folder that gets `figures.json`, `picture.svg`, and the recognised texts of each set."""
    engines: EngineFiles
    base: Path
    """The folder of the generation to start from."""
    features: Path
    """The cache of encoder frames, with the replay set."""
    enrol: Path
    """A manifest, like all others here: JSON lines of `audio` and `text`."""
    judge: list[Path]
    system_prompt: str
    seed: int = 0


class BenchAdaptJob(_BenchJob):
    """Measure personal rounds on one speaker, from more and more of their enrolment."""

    kind: Literal["bench-adapt"] = "bench-adapt"
    general: Path | None = None
    """The manifest of the retention set; None for the shipped one, which is in
    `general_examples`."""
    general_examples: list[Example] = Field(default_factory=list)
    minutes: list[float]
    """The minutes of enrolment for each round."""
    training_seconds: float
    learning_rate: float
    trains_projector: bool = True
    recogniser: RecogniserRecipe | None = None
    """The training of the personal recogniser in each round; None for none."""
    unlabelled: Path | None = None
    """The manifest of recordings that each round's recogniser labels by itself; another round from
    the base learns from them, too. Their texts only show how many labels are right. None for no
    such rounds."""
    vocabulary: bool = False
    """Whether each round's recogniser also hears each set with the content words of that set in the
    vocabulary, and the retention set with those of all others."""
    others: dict[str, Path] = Field(default_factory=dict)
    """The folders of Whisper models that hear the sets, too, as they came, by their names."""


class BenchQualityJob(_BenchJob):
    """Train the papers' designs on the same recordings, and judge each of them.

    The frames of the recordings that are trained on are made anew, even where `features` has them,
    because their time counts.
    """

    kind: Literal["bench-quality"] = "bench-quality"
    designs: dict[str, float]
    """The names of the designs, in order, and the minutes of training for each."""
    judged_utterances: int = 40
    """The number of utterances of the first judged set that each point of the curve is judged
    on."""
    reply_utterances: int = 40
    reply_tokens: int = 24


class BenchSpeakersJob(JobBase):
    """Make the speakers of the benchmarks."""

    kind: Literal["bench-speakers"] = "bench-speakers"
    folder: Path
    """The folder that gets a manifest and a folder of recordings for each."""
    recordings: Path
    """The folder of the model `general-speech`."""
    kokoro: Path
    """The folder of the model `kokoro-82m`."""


class BenchMemoryJob(JobBase):
    """Measure the memory that steps of distillation take."""

    kind: Literal["bench-memory"] = "bench-memory"
    folder: Path
    """The folder that gets `figures.json`, and holds the models while they are measured."""
    shapes: list[str]
    positions: list[int]
    """The numbers of tokens of the conversation in a step, with a measurement for each."""
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
    """The number of enrolled utterances to learn from, drawn as `BenchAdaptJob` draws them."""
    reply_utterances: int = 50
    reply_tokens: int = 24


BenchJob = BenchAdaptJob | BenchDistilJob | BenchMemoryJob | BenchQualityJob | BenchSpeakersJob
