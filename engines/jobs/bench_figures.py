"""What a benchmark found, as it is written to `figures.json`: the contract between who measures and
who shows."""

from ..schema import Frozen


class ReliabilityStep(Frozen):
    """Utterances of about the same confidence."""

    confidence: float
    right: float
    """The share of them of which every word was right."""
    count: int


class Trust(Frozen):
    """What confidence was worth on one set."""

    passing: float
    """Share of utterances above the threshold."""
    wrong_acted: float
    """Wrong content words in those, over all content words of the set."""
    threshold: float
    reliability: list[ReliabilityStep]
    calibration_error: float
    """Expected calibration error, 0 to 1."""


class SetScores(Frozen):
    """One set of utterances, heard in one way."""

    set: str
    hearer: str
    utterances: int
    word_error_rate: float
    content_word_error_rate: float
    rouge_1: float | None = None
    """Of the replies against the replies to the true text; None where replies were not compared, as
    below."""
    rouge_l: float | None = None
    same_first_token: float | None = None
    """Share of the replies that begin with the same token."""
    trust: Trust | None = None
    """None where there is no confidence."""


class PersonalRound(Frozen):
    """What a personal round took."""

    minutes: float
    """Of enrolled audio."""
    utterances: int
    steps: int
    processor_seconds: float
    """Of training, per thread: what `adapt.training_seconds` bounds."""
    wall_seconds: float
    """Of training by the clock."""
    peak_bytes: int


class AdaptFigures(Frozen):
    """`attune bench adapt`."""

    rounds: list[PersonalRound]
    heard: list[SetScores]
    machine: str


class CurvePoint(Frozen):
    """How good a design was after some training."""

    seconds: float
    """Of the whole run so far: features and steps, without the judging."""
    step: int
    loss: float
    word_error_rate: float


class DesignRun(Frozen):
    """A whole training run of one design."""

    design: str
    features_seconds: float
    step_seconds: float
    """Mean."""
    peak_bytes: int
    parameters: int
    curve: list[CurvePoint]

    def seconds_to(self, word_error_rate: float) -> float | None:
        """When it was first as good as that; None where it never was."""
        return next(
            (point.seconds for point in self.curve if point.word_error_rate <= word_error_rate),
            None,
        )


class QualityFigures(Frozen):
    """`attune bench quality`."""

    designs: list[DesignRun]
    heard: list[SetScores]
    machine: str


class DistilRun(Frozen):
    """One way of distilling."""

    recipe: str
    steps: int
    processor_seconds: float
    """Of training, per thread: what `--seconds` bounds. Making the samples is left
    out."""
    wall_seconds: float
    """Of training by the clock."""
    losses: dict[str, float]
    """Means over the last tenth of the steps, by name."""


class DistilFigures(Frozen):
    """`attune bench distil`."""

    lessons: int
    """Distillation samples."""
    lessons_seconds: float
    """What making them took; near nothing where they lay on the disk."""
    runs: list[DistilRun]
    heard: list[SetScores]
    machine: str


class MemoryRun(Frozen):
    """What steps through one language model took."""

    shape: str
    file_bytes: int
    positions: int
    """Of the conversation in a step."""
    before_bytes: int
    """Resident before anything was loaded: Python and its packages."""
    peak_resident_bytes: int
    """Mapped pages of the file counted."""
    peak_allocated_bytes: int | None
    """On a GPU; None without one."""
    seconds_per_step: float

    @property
    def over_file_bytes(self) -> int:
        """What the peak has more than the file."""
        return self.peak_resident_bytes - self.file_bytes


class MemoryFigures(Frozen):
    """`attune bench memory`."""

    runs: list[MemoryRun]
    machine: str
