"""The card of a generation: what it was made from, what it cost, and how it was judged. Knows no
weights."""

from pydantic import AliasChoices, Field

from ..alignment.confidence import Confidence
from ..schema import Frozen

MOST_DOUBTED = 200


class Score(Frozen):
    """How one way of hearing did on one set of utterances."""

    utterances: int
    words: int
    """Words in the labels, after normalisation."""
    word_error_rate: float
    """Substitutions, deletions and insertions over `words`; can exceed 1."""
    rouge_l: float | None = None
    """Mean ROUGE-L F of the replies against the replies to the label's text; None where replies
    were not compared."""


class JudgedUtterance(Frozen):
    """One utterance as all three heard it."""

    id: str
    words: int
    """In its label, after normalisation."""
    candidate: int
    """Wrong, missing and added words, as in the others."""
    current: int
    cascade: int


class Judgement(Frozen):
    """One set of utterances, heard by the candidate, by the current generation and by the
    cascade."""

    candidate: Score
    current: Score
    cascade: Score
    utterances: tuple[JudgedUtterance, ...] = ()


class Card(Frozen):
    """`card.json` of a generation."""

    number: int
    parent: int | None
    """The generation whose weights it started from; None for the base."""
    created_at: str
    """ISO 8601, UTC."""
    recipe: str
    """What trained it, such as `embedlink-cif`."""
    examples_by_origin: dict[str, int] = Field(default_factory=dict)
    labels_left_out: dict[str, int] = Field(default_factory=dict)
    """Utterances whose labels were neither trained on nor judged by, by the reason: those of
    `daemon.store.label_check.TOLD`."""
    doubted: tuple[str, ...] = ()
    """Ids of those among them whose labels do not fit their recordings: the first MOST_DOUBTED."""
    trained_seconds_of_audio: float = 0.0
    processor_seconds: float | None = None
    """Processor time of the optimisation per thread, which is what `adapt.training_seconds` bounds,
    and of distillation, which `adapt.distil_seconds` bounds. None in cards of a time when it was
    not kept."""
    wall_seconds: float = Field(
        0.0, validation_alias=AliasChoices("wall_seconds", "training_seconds")
    )
    """The same by the clock, pauses left out. Older cards call it `training_seconds`."""
    steps: int = 0
    """Of both."""
    skipped_steps: int = 0
    """Those among them that memory did not suffice for."""
    losses: dict[str, float] = Field(default_factory=dict)
    """Means over the last tenth of the steps, by name; distillation's where it has one of that
    name."""
    peak_bytes: int = 0
    """Peak resident memory of the processes that trained and judged it, one after the other."""
    stage_peak_bytes: dict[str, int] = Field(default_factory=dict)
    """Of each of them, by the name of its stage."""
    seed: int = 0
    versions: dict[str, str] = Field(default_factory=dict)
    language_model_sha256: str = ""
    """The GGUF file whose embedding table it lands on; it serves no other."""
    encoder_sha256: str = ""
    """The weights file of the encoder whose frames it reads."""
    holdout: Judgement | None = None
    """On enrolled and corrected utterances never trained on."""
    recognised: Judgement | None = None
    """On held-out utterances whose labels the cascade itself wrote: agreement, not proof."""
    general: Judgement | None = None
    """On the retention set: what was forgotten."""
    confidence: Confidence | None = None
    """When its readings are to be trusted; None where there was too little to tell."""
    replies: dict[str, float] = Field(default_factory=dict)
    """ROUGE-L on held-out utterances of the replies to `rows` and to `blends` (expected embeddings
    through the adapter), where both were tried: the better one serves."""
    requests: tuple[str, ...] = ()
    """Of the user, from what it was trained on: what the language model is shown before it judges
    what was heard."""
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 of every other file in the folder, by name."""


def training_time(processor_seconds: float | None, wall_seconds: float) -> str:
    """How long training took, for people; by the clock alone where processor time was not kept."""
    if processor_seconds is None:
        return f"{wall_seconds:.0f} s by the clock"
    return (
        f"{processor_seconds:.0f} s of processor time per thread ({wall_seconds:.0f} s by the"
        " clock)"
    )
