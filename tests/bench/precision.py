"""`make bench-precision`: the encoder's other precisions on every recorded prompt, none heard
through a file calibrated with it.

What `attune calibrate int8` does is done twice, with the halves that calibrate and compare
exchanged. Prints JSON: each half, and both together, weighted by utterances. Exits with 1 where a
gate is not passed.
"""

import json
import sys
import tempfile
from pathlib import Path

from calibration.jobs.encoder_precisions import make_precisions
from daemon.cli.common import settings
from daemon.model_files import model_files
from engines.generations.pointers import usable
from engines.jobs.calibration_jobs import PrecisionJob
from engines.models.general_speech import retention_examples
from engines.whisper.precision import PRECISIONS, ErrorRates, PrecisionCard, read_card


def main() -> int:
    """Make both halves, and tell."""
    examples = retention_examples(settings().cache_dir, whole=True)
    with tempfile.TemporaryDirectory(prefix="attune-precision-") as name:
        halves = [_half(Path(name) / str(first), first) for first in (0, 1)]
    found: dict[str, object] = {"utterances": len(examples)}
    well = True
    for precision in PRECISIONS:
        cards = [half[precision] for half in halves]
        both = _together(cards)
        well = well and not both.problem
        found[precision] = {
            "cosine": round(both.cosine, 5),
            "worst frame of 100, the worse half": round(
                min(card.cosine_worst for card in cards), 3
            ),
            "size": round(both.size, 3),
            "token error": round(both.heard.token_error, 4),
            "transcript error": round(both.heard.transcript_error, 4),
            "float32's token error": round(both.original.token_error, 4),
            "float32's transcript error": round(both.original.transcript_error, 4),
            "checked": both.checked_utterances,
            "problem": both.problem,
            "halves": [
                {
                    "method": card.method,
                    "cosine": round(card.cosine, 5),
                    "transcript error": round(card.heard.transcript_error, 4),
                }
                for card in cards
            ],
        }
    print(json.dumps(found, indent=2))
    return 0 if well else 1


def _half(folder: Path, first: int) -> dict[str, PrecisionCard]:
    chosen = settings()
    files = model_files(chosen)
    generation, _ = usable(chosen.generations)
    assert generation is not None
    folder.mkdir()
    encoder = folder / "encoder.onnx"
    encoder.symlink_to(files.encoder)
    job = PrecisionJob(
        folder=folder / "made",
        engines=files.model_copy(update={"encoder": encoder}),
        generation=generation.folder,
        examples=retention_examples(chosen.cache_dir, whole=True)[first:],
        threads=chosen.adapt.threads,
    )
    make_precisions(
        job,
        lambda stage, fraction, note: print(
            f"half {first + 1}, {stage}: {note}", file=sys.stderr, flush=True
        ),
    )
    found = {precision: read_card(encoder, precision) for precision in PRECISIONS}
    return {precision: card for precision, card in found.items() if card is not None}


def _together(cards: list[PrecisionCard]) -> PrecisionCard:
    weights = [
        card.checked_utterances / sum(card.checked_utterances for card in cards) for card in cards
    ]

    def mean(values: list[float]) -> float:
        return sum(weight * value for weight, value in zip(weights, values, strict=True))

    def heard(both: list[ErrorRates]) -> ErrorRates:
        return ErrorRates(
            token_error=mean([one.token_error for one in both]),
            transcript_error=mean([one.transcript_error for one in both]),
        )

    return cards[0].model_copy(
        update={
            "cosine": mean([card.cosine for card in cards]),
            "size": max(card.size for card in cards),
            "heard": heard([card.heard for card in cards]),
            "original": heard([card.original for card in cards]),
            "checked_utterances": sum(card.checked_utterances for card in cards),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
