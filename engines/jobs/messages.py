"""The contract between the daemon and its calibration child: a job file in, progress lines out.
Knows no training.

The daemon writes the job, starts `python -m calibration JOB.json`, and reads one JSON object per
line from the child's standard output. Both sides use these models, so a field that one side does
not know is an error on the spot. The jobs besides a round are in the modules beside this one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..schema import Frozen

Origin = Literal["enrolled", "corrected", "recognised"]


UNCONFIRMED_WEIGHT = 0.5
"""What an utterance whose text nobody confirmed counts for in training, beside one whose text
somebody did."""

LEAST_DISTILLATION_EXAMPLES = 32
"""The fewest utterances that distillation learns from, however short it is."""


class Example(Frozen):
    """One labelled utterance."""

    id: str
    audio: Path
    text: str
    origin: Origin
    seconds: float = 0.0
    """The length of the audio; 0 where it was not measured."""
    confidence: float = 1.0
    holdout: bool = False

    @property
    def confirmed(self) -> bool:
        """Whether a person gave its text. If not, the recogniser wrote it."""
        return self.origin != "recognised"

    @property
    def weight(self) -> float:
        """What it counts for in training, beside one that is confirmed."""
        return 1.0 if self.confirmed else UNCONFIRMED_WEIGHT


class EngineFiles(Frozen):
    """The files of the models that a job runs."""

    encoder: Path
    """The encoder's ONNX graph."""
    encoder_weights: Path
    """The CTranslate2 folder, which holds the transcriber and the weights that the encoder was
    exported from."""
    language_model: Path
    """The GGUF file whose vocabulary and embedding table the aligned route reads."""
    served_language_model: Path
    """The file that llama.cpp runs: the same, or a copy in weights that this machine computes
    faster."""
    language: str = "en"
    """The code of the language that is spoken, which matters to a multilingual Whisper."""
    replies: Path | None = None
    """The file that llama.cpp runs for replies, where that is another language model; None where it
    is `served_language_model`."""

    @property
    def replying_language_model(self) -> Path:
        """The file that llama.cpp runs for replies."""
        return self.replies or self.served_language_model

    @property
    def encoder_weights_file(self) -> Path:
        """The file in `encoder_weights` whose sha256 identifies an encoder."""
        return self.encoder_weights / "model.bin"


class DistilRecipe(Frozen):
    """The parameters of distillation, in which the language model learns to read a projector's soft
    tokens."""

    seconds: float
    """The processor time per thread."""
    learning_rate: float = 3e-4
    rank: int = 16
    """The rank of a new adapter; an adapter that the round starts from keeps its own."""
    trains: Literal["adapter", "projector", "both"] = "adapter"
    loss_weights: dict[str, float] = Field(default_factory=dict)
    """The loss weights that differ from `calibration.distillation.losses.LOSS_WEIGHTS`."""


class RecogniserRecipe(Frozen):
    """The parameters of the personal recogniser's training."""

    seconds: float
    """The processor time per thread."""
    learning_rate: float = 5e-4
    rank: int = 32
    """The rank of new changes; a recogniser that the round starts from keeps its own."""
    kept_always: bool = False
    """Whether all that it learnt is kept even where it helps nobody: to measure what a round
    takes."""


class JobBase(Frozen):
    """The fields of every job."""

    threads: int = 2
    """The number of threads that each of its processes may compute with."""


class AdaptJob(JobBase):
    """Train a candidate on the user's examples and judge it."""

    kind: Literal["adapt"] = "adapt"
    folder: Path
    """The folder of the round's checkpoints; a round that was killed goes on from there."""
    generations: Path
    number: int
    """The number of the generation to write."""
    parent: int
    """The number of the generation to start from."""
    user: int = 1
    """The user whose voice is learnt."""
    engines: EngineFiles
    features: Path
    """The cache of encoder frames."""
    examples: list[Example]
    labels_left_out: dict[str, int] = Field(default_factory=dict)
    """The number of labels that were left out because they cannot be true, by the reason; for the
    card."""
    general: list[Example] = Field(default_factory=list)
    system_prompt: str
    training_seconds: float = 180.0
    learning_rate: float = 2e-4
    recogniser: RecogniserRecipe | None = None
    """The training of the personal recogniser; None to leave the parent's as it is."""
    trains_projector: bool = True
    """Whether the projector is trained, too; False to leave the parent's as it is, or where that
    has none."""
    distil: DistilRecipe | None = None
    """The distillation that follows the projector's own training; None for none."""
    reply_utterances: int = 16
    """The number of utterances of each set that are also judged by the replies to them."""
    reply_tokens: int = 24
    seed: int = 0
    micro_batches: int = Field(1, alias="parts")
    """The number of micro-batches that the samples of a step are cut into, whose gradients are
    accumulated: it changes the memory that a step takes, not what is learnt."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages in their order; each runs in a process of its own."""
        return (
            "hear",
            *(("recognise", "choose") if self.recogniser is not None else ()),
            "encode",
            *(("train",) if self.trains_projector else ()),
            *(("lessons", "distil") if self.distils else ()),
            *(("export",) if self.trains_projector else ()),
            "judge",
        )

    @property
    def distils(self) -> bool:
        """Whether the projector that was trained is distilled."""
        return self.trains_projector and self.distil is not None

    @property
    def learnt(self) -> list[Example]:
        """The examples that may be trained on."""
        return [example for example in self.examples if not example.holdout]

    @property
    def confirmed_holdout(self) -> list[Example]:
        """The held-out utterances whose texts a person gave."""
        return [example for example in self.examples if example.holdout and example.confirmed]

    @property
    def judged(self) -> list[Example]:
        """The examples that recognisers are judged by."""
        return [*(example for example in self.examples if example.holdout), *self.general]

    @property
    def distillation_examples(self) -> list[Example]:
        """The examples that distillation learns from: one for each of its seconds, the first by id,
        which are hashes.

        A step takes eight samples and about a second, and an utterance makes two samples, so each
        is seen some four times.
        """
        most = (
            max(LEAST_DISTILLATION_EXAMPLES, round(self.distil.seconds))
            if self.distil is not None
            else 0
        )
        return sorted(self.learnt, key=lambda example: example.id)[:most]


Report = Callable[[str, float, str], None]
"""A callback for a job's progress, which takes the stage, the fraction done of it, and a note."""


class Progress(Frozen):
    """One line of progress from the child."""

    stage: str
    """The name of the stage, such as `hear`, `train`, `distil`, `export`, `judge`, `corpus`; at the
    end `done`, `refused` or `failed`."""
    fraction: float
    """The fraction of the stage that is done, 0 to 1."""
    note: str = ""
    """A note for people: a loss, a count, the reason of a failure."""


def print_progress(stage: str, fraction: float, note: str = "") -> None:
    """Print the progress for the process that started this one: `fraction` of `stage` is done, 0 to
    1."""
    # In one piece: beside another process on the same pipe an end of line of its own would come too
    # late.
    print(
        Progress(stage=stage, fraction=fraction, note=note).model_dump_json() + "\n",
        end="",
        flush=True,
    )
