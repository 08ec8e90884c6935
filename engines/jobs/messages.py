"""The contract between the daemon and its calibration child: a job file in, progress lines out.
Knows no training.

The daemon writes the job, starts `python -m calibration JOB.json`, and reads one JSON object per
line from the child's standard output. Both sides use these models, so a field that one side does
not know is an error on the spot.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..schema import Frozen

Origin = Literal["enrolled", "corrected", "recognised"]
GraphPrecision = Literal["float32", "float16", "int8"]
"""That a graph computes in, whatever runs it."""


LEAST_DISTILLATION_EXAMPLES = 32
"""Utterances that distillation learns from at least, however short it is."""


class Example(Frozen):
    """One labelled utterance."""

    id: str
    audio: Path
    text: str
    origin: Origin
    seconds: float = 0.0
    """Of audio; 0 where nobody measured it."""
    confidence: float = 1.0
    holdout: bool = False


class EngineFiles(Frozen):
    """The models that a job runs."""

    encoder: Path
    """encoder.onnx"""
    encoder_weights: Path
    """The CTranslate2 folder: the transcriber, and the weights that encoder.onnx came from."""
    language_model: Path
    """The GGUF file: its vocabulary and its embedding table."""
    served_language_model: Path
    """What llama.cpp runs: the same file, or a copy in weights that this machine computes
    faster."""

    @property
    def encoder_weights_file(self) -> Path:
        """The one in `encoder_weights` by whose sha256 an encoder is told from others."""
        return self.encoder_weights / "model.bin"


class DistilRecipe(Frozen):
    """How the language model learns to read what a projector makes of speech."""

    seconds: float
    """Of processor time per thread."""
    learning_rate: float = 3e-4
    rank: int = 16
    """Of the adapter; that of the generation that a round starts from stays as it is."""
    trains: Literal["adapter", "projector", "both"] = "adapter"
    loss_weights: dict[str, float] = Field(default_factory=dict)
    """Those that are to be others than `calibration.distillation.losses.LOSS_WEIGHTS`."""


class _JobBase(Frozen):
    """What every job says."""

    threads: int = 2
    """That each of its processes may compute with."""


class AdaptJob(_JobBase):
    """Train a candidate on the user's examples and judge it."""

    kind: Literal["adapt"] = "adapt"
    folder: Path
    """Checkpoints of this round; a round that was killed goes on from here."""
    generations: Path
    number: int
    """The number of the generation to write."""
    parent: int
    """The generation to start from."""
    engines: EngineFiles
    features: Path
    """Cache of encoder frames."""
    examples: list[Example]
    labels_left_out: dict[str, int] = Field(default_factory=dict)
    """How many labels there were besides that cannot be true, by the reason; for the card."""
    general: list[Example] = Field(default_factory=list)
    system_prompt: str
    training_seconds: float = 180.0
    learning_rate: float = 2e-4
    distil: DistilRecipe | None = None
    """What follows the projector's own training; None: nothing."""
    reply_utterances: int = 16
    """How many utterances of each set are also judged by their replies."""
    reply_tokens: int = 24
    seed: int = 0
    micro_batches: int = Field(1, alias="parts")
    """Into how many micro-batches the samples of a step are cut, whose gradients are accumulated:
    it changes the memory that a step takes, not what is learnt."""

    @property
    def stages(self) -> tuple[str, ...]:
        """Its stages in order, a process for each."""
        return (
            "hear",
            "train",
            *(("lessons", "distil") if self.distil is not None else ()),
            "export",
            "judge",
        )

    @property
    def learnt(self) -> list[Example]:
        """What may be trained on."""
        return [example for example in self.examples if not example.holdout]

    @property
    def distillation_examples(self) -> list[Example]:
        """What distillation learns from: one utterance for each second of it, the first by id,
        which are hashes.

        A step takes eight samples and about a second, and an utterance makes two, so that each is
        seen some four times.
        """
        most = (
            max(LEAST_DISTILLATION_EXAMPLES, round(self.distil.seconds))
            if self.distil is not None
            else 0
        )
        return sorted(self.learnt, key=lambda example: example.id)[:most]


class BaseJob(_JobBase):
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


class CorpusJob(_JobBase):
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


class TrainJob(_JobBase):
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


class _BenchJob(_JobBase):
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


class BenchSpeakersJob(_JobBase):
    """Make speakers to benchmark with."""

    kind: Literal["bench-speakers"] = "bench-speakers"
    folder: Path
    """Gets a manifest and a folder of recordings for each."""
    recordings: Path
    """The folder of the model `general-speech`."""
    kokoro: Path
    """The folder of the model `kokoro-82m`."""


class BenchMemoryJob(_JobBase):
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


class FootprintJob(_JobBase):
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


class PrecisionJob(_JobBase):
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


class PlanJob(_JobBase):
    """Build a TensorRT plan of the speech encoder, or try the one that is there."""

    kind: Literal["plan"] = "plan"
    graph: Path
    """The encoder in the precision that the plan is to have; ONNX Runtime runs the same to compare
    with."""
    precision: GraphPrecision
    plans: Path
    """The folder of plans."""
    workspace_bytes: int = 512 << 20
    tries_only: bool = False


BenchJob = BenchAdaptJob | BenchDistilJob | BenchMemoryJob | BenchQualityJob | BenchSpeakersJob
Job = AdaptJob | BaseJob | BenchJob | CorpusJob | FootprintJob | PrecisionJob | TrainJob


class TrialJob(_JobBase):
    """Find out which engines compute on the GPU."""

    kind: Literal["trials"] = "trials"
    engines: EngineFiles
    output: Path
    """Gets what became of it, as `engines.device.runtimes` keeps it."""


EngineJob = PlanJob | TrialJob


Report = Callable[[str, float, str], None]
"""What a job tells its progress to: the stage, the fraction done of it, and a note."""


class Progress(Frozen):
    """One line from the child."""

    stage: str
    """Such as `hear`, `train`, `distil`, `export`, `judge`, `corpus`; `done`, `refused` or `failed`
    at the end."""
    fraction: float
    """0 to 1 within the stage."""
    note: str = ""
    """For people: a loss, a count, the reason of a failure."""


def print_progress(stage: str, fraction: float, note: str = "") -> None:
    """Tell the process that started this one how far it is: `fraction` of `stage`, 0 to 1."""
    # In one piece: beside another process on the same pipe an end of line of its own would come too
    # late.
    print(
        Progress(stage=stage, fraction=fraction, note=note).model_dump_json() + "\n",
        end="",
        flush=True,
    )
