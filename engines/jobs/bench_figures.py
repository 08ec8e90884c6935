"""The figures of benchmarks, as they are written to `figures.json`: the contract between what
measures and what shows them."""

from ..schema import Frozen


class ReliabilityStep(Frozen):
    """A group of utterances of about the same confidence."""

    confidence: float
    right: float
    """The share of them in which every word was right."""
    count: int


class Trust(Frozen):
    """What the confidence was worth on one set."""

    passing: float
    """The share of utterances above the threshold."""
    wrong_acted: float
    """The number of wrong content words in those utterances, over all content words of the set."""
    threshold: float
    reliability: list[ReliabilityStep]
    calibration_error: float
    """The expected calibration error, 0 to 1."""


class SetScores(Frozen):
    """The scores of one recogniser (`hearer`) on one set of utterances."""

    set: str
    hearer: str
    utterances: int
    word_error_rate: float
    content_word_error_rate: float
    rouge_1: float | None = None
    """The mean ROUGE-1 of the replies against the replies to the true texts; None where replies
    were not compared. The same holds for the two scores below."""
    rouge_l: float | None = None
    same_first_token: float | None = None
    """The share of the replies that begin with the same token."""
    trust: Trust | None = None
    """What the confidence was worth; None where there is none."""


class ServingCost(Frozen):
    """What one recogniser (`hearer`) takes to hear, with the language model open."""

    hearer: str
    seconds: float
    """The median wall time for an utterance."""
    size_bytes: int
    """The memory of the process."""


class OwnLabels(Frozen):
    """The labels that a round's recogniser wrote by itself."""

    recordings: int
    labelled: int
    right: int
    """The number of labels of which every word is right."""
    allowed: bool
    """Whether the round has shown, on what the user confirmed, that they may be learnt from."""


class PersonalRound(Frozen):
    """The cost of one personal round."""

    name: str
    """What its hearers' names begin with, such as `15 min`."""
    own_labels: OwnLabels | None = None
    """What it learnt from beside the enrolment; None for the enrolment alone."""
    minutes: float
    """Minutes of enrolled audio."""
    utterances: int
    steps: int
    processor_seconds: float
    """The processor time of training per thread, which `adapt.training_seconds` bounds."""
    wall_seconds: float
    """The wall time of training."""
    round_processor_seconds: float
    """The processor time of all stages, per thread."""
    peak_bytes: int


class AdaptFigures(Frozen):
    """The figures of `attune bench adapt`."""

    rounds: list[PersonalRound]
    heard: list[SetScores]
    costs: list[ServingCost]
    machine: str


class CurvePoint(Frozen):
    """The scores of a design after some training."""

    seconds: float
    """The time of the run so far: features and steps, without judging."""
    step: int
    loss: float
    word_error_rate: float


class DesignRun(Frozen):
    """A whole training run of one design."""

    design: str
    features_seconds: float
    step_seconds: float
    """The mean time of a step."""
    peak_bytes: int
    parameters: int
    curve: list[CurvePoint]

    def seconds_to(self, word_error_rate: float) -> float | None:
        """The time at which the design first reached `word_error_rate`; None where it never did."""
        return next(
            (point.seconds for point in self.curve if point.word_error_rate <= word_error_rate),
            None,
        )


class QualityFigures(Frozen):
    """The figures of `attune bench quality`."""

    designs: list[DesignRun]
    heard: list[SetScores]
    machine: str


class DistilRun(Frozen):
    """A training run by one recipe of distillation."""

    recipe: str
    steps: int
    processor_seconds: float
    """The processor time of training per thread, which `--seconds` bounds; without that of making
    the samples."""
    wall_seconds: float
    """The wall time of training."""
    losses: dict[str, float]
    """The mean of each loss over the last tenth of the steps."""


class DistilFigures(Frozen):
    """The figures of `attune bench distil`."""

    lessons: int
    """The number of distillation samples."""
    lessons_seconds: float
    """The time of making the samples; nearly none where they lay on the disk."""
    runs: list[DistilRun]
    heard: list[SetScores]
    machine: str


class MemoryRun(Frozen):
    """The memory and time of steps through one language model."""

    shape: str
    file_bytes: int
    positions: int
    """The number of positions of the conversation in a step."""
    before_bytes: int
    """The resident memory before anything was loaded: that of Python and its packages."""
    peak_resident_bytes: int
    """The peak resident memory, with the mapped pages of the file."""
    peak_allocated_bytes: int | None
    """The peak memory allocated on a GPU; None without one."""
    seconds_per_step: float

    @property
    def over_file_bytes(self) -> int:
        """The difference between the peak and the size of the file."""
        return self.peak_resident_bytes - self.file_bytes


class MemoryFigures(Frozen):
    """The figures of `attune bench memory`."""

    runs: list[MemoryRun]
    machine: str
