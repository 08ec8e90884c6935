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


class JobBase(Frozen):
    """What every job says."""

    threads: int = 2
    """That each of its processes may compute with."""


class AdaptJob(JobBase):
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
