"""The jobs of the calibration child besides a round: a base projector, its corpus, measurements."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .bench_jobs import BenchJob
from .messages import AdaptJob, EngineFiles, Example, JobBase
from .speech_models import SpeechModel


class BaseJob(JobBase):
    """Write the shipped base projector as generation 0, and the encoder as ONNX; set-up runs this
    once."""

    kind: Literal["base"] = "base"
    folder: Path
    """The folder for files that are not finished yet."""
    generations: Path
    engines: EngineFiles
    """The models; `encoder` is written where it is missing."""
    features: Path
    """The cache of encoder frames, which gets the replay set."""


class CorpusJob(JobBase):
    """Make a corpus to train a base projector or a base recogniser on."""

    kind: Literal["corpus"] = "corpus"
    threads: int = 1
    """The number of threads of each of `workers`."""
    folder: Path
    """The folder that gets the shards; a build that was killed goes on from those that are
    there."""
    engines: EngineFiles
    kokoro: Path | None = None
    """The folder of the model `kokoro-82m`; None to do without its voices."""
    piper: Path | None = None
    """The graph of the voice `piper-joe`; None to do without it."""
    sources: list[Path] = Field(default_factory=list)
    """Manifests and folders of recordings; empty for synthetic speech."""
    hours: float = 50.0
    """Hours of synthetic speech."""
    written: int = 800
    """The number of sentences that the language model writes for the synthetic speech."""
    covers_vocabulary: bool = True
    """Whether sentences of no meaning give each word of the language model's vocabulary, which a
    projector has to learn, and a recogniser should not."""
    workers: int = 2
    seed: int = 0


class BaseTraining(JobBase):
    """What the training of a base projector and of a base recogniser have in common."""

    folder: Path
    """The folder that gets the weights, their card, and the checkpoint from which a run that was
    killed goes on; of a projector the encoded corpora, too."""
    engines: EngineFiles
    corpora: list[Path]
    """The folders that corpus jobs made."""
    minutes: float
    """Minutes of processor time per thread."""
    batch: int = 16
    """The number of utterances in a step of each process."""
    atypical_times: int = 1
    """How often an epoch draws an utterance of an atypical voice; it draws any other once."""
    seed: int = 0


class TrainJob(BaseTraining):
    """Train a base projector on corpora: `projector.safetensors` and `card.json`."""

    kind: Literal["train"] = "train"
    start: Path | None = None
    """A projector to start from; None for random weights. One that reads no first-pass transcripts
    learns to."""
    learning_rate: float = 8e-4


class TrainRecogniserJob(BaseTraining):
    """Train a base recogniser on corpora: `recogniser.safetensors` and `recogniser.json`."""

    kind: Literal["train-recogniser"] = "train-recogniser"
    start: Path | None = None
    """A recogniser to start from, in its own rank; None for Whisper as it came."""
    learning_rate: float = 1e-3
    rank: int = 32


class FootprintJob(JobBase):
    """Measure the memory and time that the stages of a round take on this device."""

    kind: Literal["footprints"] = "footprints"
    folder: Path
    """The folder of the small rounds that are measured."""
    output: Path
    """The file that gets the figures, in the form of `engines.jobs.footprints`."""
    engines: EngineFiles
    base: Path
    """The folder of the generation that the rounds start from."""
    features: Path
    """The cache of encoder frames, with the replay set."""
    recordings: list[Example]
    """Speech with texts, which is joined into the rounds' utterances."""
    system_prompt: str
    context_tokens: int = 2048
    recognises: bool = False
    """Whether rounds train a recogniser."""
    distils: bool = False
    """Whether distillation is measured, too."""
    lengths_seconds: list[float] = Field(default_factory=lambda: [6.0, 14.0, 28.0])
    """The length of the utterances in each round: memory that grows with it is fitted as a line."""


class HearingJob(JobBase):
    """Measure what speech models take to hear on this device, and what they mishear."""

    kind: Literal["hearing"] = "hearing"
    output: Path
    """The file that gets the figures, in the form of `engines.jobs.speech_models`."""
    engines: EngineFiles
    """The models that serve; each speech model takes the place of theirs."""
    models: list[SpeechModel]
    general: list[Example]
    """Speech of a clear voice."""
    own: list[Example]
    """The user's own recordings, which no round has learnt."""


class PrecisionJob(JobBase):
    """Make the speech encoder in other precisions, and compare them with the original."""

    kind: Literal["precision"] = "precision"
    folder: Path
    """The folder for files that are not finished yet."""
    engines: EngineFiles
    """The models; `encoder` is the original, and the other precisions are put beside it."""
    generation: Path
    """The folder of the generation whose projector decodes the frames."""
    examples: list[Example]
    """Labelled utterances: every second one to compare on, the others to calibrate with."""
    checked_utterances: int = 200
    """The most utterances to compare on; as many at most to calibrate with."""


Job = (
    AdaptJob
    | BaseJob
    | BenchJob
    | CorpusJob
    | FootprintJob
    | HearingJob
    | PrecisionJob
    | TrainJob
    | TrainRecogniserJob
)
