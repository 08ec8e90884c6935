"""The card of a generation: its origin, its cost, and its judgement. Knows no weights."""

from pydantic import AliasChoices, Field

from ..alignment.confidence import Confidence
from ..schema import Frozen
from ..whisper.transcript_confidence import TranscriptConfidence

MOST_DOUBTED = 200


class Score(Frozen):
    """The scores of one recogniser on one set of utterances."""

    utterances: int
    words: int
    """The number of words in the labels, after normalisation."""
    word_error_rate: float
    """Substitutions, deletions and insertions over `words`; it can exceed 1."""
    rouge_l: float | None = None
    """The mean ROUGE-L F of the replies against the replies to the labels' texts; None where
    replies were not compared."""


class JudgedUtterance(Frozen):
    """The word errors of candidate, current generation and cascade on one utterance."""

    id: str
    words: int
    """The number of words in its label, after normalisation."""
    candidate: int
    """The candidate's wrong, missing and added words; the other two count the same."""
    current: int
    cascade: int
    recogniser: int | None = None
    """The errors of the candidate's recogniser on the cascade; None where it has none."""
    current_recogniser: int | None = None
    """The same of the current generation."""


class Judgement(Frozen):
    """The scores of candidate, current generation and cascade on one set of utterances."""

    candidate: Score
    current: Score
    cascade: Score
    """Whisper as it came."""
    recogniser: Score | None = None
    """The candidate's recogniser on the cascade; None where it has none."""
    current_recogniser: Score | None = None
    """The same of the current generation."""
    utterances: tuple[JudgedUtterance, ...] = ()


class Card(Frozen):
    """The content of a generation's `card.json`."""

    number: int
    parent: int | None
    """The number of the generation whose weights it started from; None for the base."""
    user: int = 1
    """The user whose voice it learnt."""
    created_at: str
    """The time of its making, in ISO 8601, UTC."""
    recipe: str
    """The name of the method that trained it, such as `embedlink-cif`."""
    learnt_from: tuple[str, ...] | None = None
    """The ids of the user's utterances that it, or any generation that it goes back to, was trained
    on or judged by, sorted. None in cards of a time when that was not kept."""
    examples_by_origin: dict[str, int] = Field(default_factory=dict)
    labels_left_out: dict[str, int] = Field(default_factory=dict)
    """The number of utterances whose labels were neither trained on nor judged by, by the reason:
    those of `daemon.store.label_check.TOLD`."""
    doubted: tuple[str, ...] = ()
    """The ids of utterances whose labels do not fit their recordings: the first MOST_DOUBTED."""
    trained_seconds_of_audio: float = 0.0
    processor_seconds: float | None = None
    """The processor time per thread of training, which `adapt.training_seconds` bounds, and of
    distillation, which `adapt.distil_seconds` bounds. None in cards of a time when it was not
    kept."""
    wall_seconds: float = Field(
        0.0, validation_alias=AliasChoices("wall_seconds", "training_seconds")
    )
    """The wall time of training and distillation, without pauses. Older cards call it
    `training_seconds`."""
    steps: int = 0
    """The number of steps of training and distillation."""
    skipped_steps: int = 0
    """The number of these steps that were skipped for lack of memory."""
    losses: dict[str, float] = Field(default_factory=dict)
    """The mean of each loss over the last tenth of the steps; distillation's where both have a loss
    of that name."""
    peak_bytes: int = 0
    """The peak resident memory of the processes that trained and judged it, which ran one after the
    other."""
    stage_peak_bytes: dict[str, int] = Field(default_factory=dict)
    """The peak resident memory of each stage's process."""
    stage_processor_seconds: dict[str, float] = Field(default_factory=dict)
    """The processor time of each stage, all threads together."""
    seed: int = 0
    versions: dict[str, str] = Field(default_factory=dict)
    language_model_sha256: str = ""
    """The sha256 of the GGUF file whose embedding rows its soft tokens are; it serves no other."""
    encoder_sha256: str = ""
    """The sha256 of the weights of the encoder whose frames it reads."""
    recogniser_share: float | None = None
    """The share of what the recogniser learnt in its round that it keeps, 0 to 1: the rest of its
    weights is where the round began. None where the round trained none, or it was left out."""
    recogniser_left_out: str = ""
    """Why the recogniser that the round trained was left out; empty where it was not."""
    projector_left_out: str = ""
    """Why the generation has the projector of the one before it, though its round trained another;
    empty where it has its own."""
    holdout: Judgement | None = None
    """The judgement on enrolled and corrected utterances never trained on."""
    recognised: Judgement | None = None
    """The judgement on held-out utterances whose labels the cascade wrote: it shows agreement, not
    correctness."""
    general: Judgement | None = None
    """The judgement on the retention set, which shows what was forgotten."""
    confidence: Confidence | None = None
    """The fitted confidence in its readings; None where there was too little to fit it."""
    transcript_confidence: TranscriptConfidence | None = None
    """The fitted confidence in the transcripts of its recogniser; None where there was too little
    to fit it, or it has none."""
    replies: dict[str, float] = Field(default_factory=dict)
    """The ROUGE-L, on held-out utterances, of the replies to `rows` and to `blends` (expected
    embeddings through the adapter), where both were tried: the better one serves."""
    requests: tuple[str, ...] = ()
    """The user's requests, from the training set, that the language model is shown before it scores
    a sentence."""
    files: dict[str, str] = Field(default_factory=dict)
    """The sha256 of every other file in the folder, by its name."""


def training_time(processor_seconds: float | None, wall_seconds: float) -> str:
    """The duration of training, for people; only wall time where processor time was not kept."""
    if processor_seconds is None:
        return f"{wall_seconds:.0f} s by the clock"
    return (
        f"{processor_seconds:.0f} s of processor time per thread ({wall_seconds:.0f} s by the"
        " clock)"
    )
