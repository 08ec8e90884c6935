"""The speech encoder in other precisions: the place of each, its measured distance from the
original, and whether it may be used.

Knows no quantization: `calibration/export/encoder_precision.py` writes the files, and
`calibration/jobs/encoder_precisions.py` their cards.
"""

from pathlib import Path
from typing import Literal, get_args

from ..files import sha256_of
from ..schema import Frozen, read_json

Precision = Literal["float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Gate(Frozen):
    """The limits that a precision must keep before it is used."""

    min_cosine: float
    """The least mean cosine between its frames and the original's."""
    max_lost: float
    """The most by which its error rates of tokens and transcripts may be higher; absolute, so 0.01
    is one percentage point."""
    max_size: float
    """The largest size of its file, as a share of the original's."""


GATES: dict[Precision, Gate] = {
    "float16": Gate(min_cosine=0.999, max_lost=0.005, max_size=0.55),
    "int8": Gate(min_cosine=0.98, max_lost=0.02, max_size=0.35),
}


class ErrorRates(Frozen):
    """How well speech is recognised from the frames of one encoder."""

    token_error: float
    """The token error rate of the projector's first pass: substitutions, deletions and insertions
    over the tokens of the labels."""
    transcript_error: float
    """The word error rate of the first-pass transcripts."""


class PrecisionCard(Frozen):
    """The measurements of one precision, compared with the original on the same utterances."""

    precision: Precision
    method: str
    """The method that found the ranges of activations; empty where none was needed."""
    source_sha256: str
    sha256: str
    made_at: str
    """The time of its making, in ISO 8601, UTC."""
    machine: str
    calibrated_utterances: int
    checked_utterances: int
    """The number of utterances compared, none of which it was calibrated on."""
    cosine: float
    """The mean cosine between its frames and the original's."""
    cosine_worst: float
    """The first percentile of these cosines."""
    size: float
    """The size of its file, as a share of the original's."""
    heard: ErrorRates
    """The error rates with this precision."""
    original: ErrorRates
    """The error rates with the original."""

    @property
    def problem(self) -> str:
        """The reason why it must not be used, for people; empty where it may."""
        gate = GATES[self.precision]
        limits = (
            (
                self.cosine >= gate.min_cosine,
                f"its frames' cosine is {self.cosine:.4f}, {gate.min_cosine} needed",
            ),
            (
                self.size <= gate.max_size,
                f"its file is {self.size:.0%} of the original's, {gate.max_size:.0%} allowed",
            ),
            *(
                (
                    lost <= gate.max_lost,
                    (
                        f"its {what} are {100 * lost:.1f} points worse, {100 * gate.max_lost:.1f}"
                        " allowed"
                    ),
                )
                for what, lost in (
                    ("tokens", self.heard.token_error - self.original.token_error),
                    ("transcripts", self.heard.transcript_error - self.original.transcript_error),
                )
            ),
        )
        return next((problem for holds, problem in limits if not holds), "")


def path_of(encoder: Path, precision: Precision) -> Path:
    """The file of `encoder` in another precision."""
    return encoder.with_suffix(f".{precision}.onnx")


def card_path(encoder: Path, precision: Precision) -> Path:
    """The file of the card of `encoder` in another precision."""
    return path_of(encoder, precision).with_suffix(".json")


def read_card(encoder: Path, precision: Precision) -> PrecisionCard | None:
    """The card of `encoder` in another precision; None where it was not made, or where it or the
    encoder changed since."""
    path = card_path(encoder, precision)
    card = read_json(path, PrecisionCard)
    if card is None:
        return None
    try:
        found = sha256_of(encoder), sha256_of(path_of(encoder, precision))
    except OSError:
        return None
    return card if found == (card.source_sha256, card.sha256) else None
