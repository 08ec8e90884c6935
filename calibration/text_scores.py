"""Word error rate and ROUGE-L of texts, both normalised alike. Knows no audio and no models.

Normalisation is Whisper's own for English (numbers to digits, contractions, punctuation and case away), so that no recogniser is
charged for spelling "Dr." where the label says "doctor".
"""

from collections.abc import Sequence
from functools import cache

import jiwer
from rouge_score import rouge_scorer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def normalise(text: str) -> str:
    """Lower case, no punctuation, numbers as digits, contractions written out."""
    return str(_normalizer()(text)).strip()


def word_errors(label: str, heard: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions of `heard` against `label`, and the words of `label`."""
    expected, found = normalise(label), normalise(heard)
    if not expected:
        return len(found.split()), 0
    measured = jiwer.process_words(expected, found)
    return measured.substitutions + measured.deletions + measured.insertions, len(expected.split())


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> tuple[float, int]:
    """Errors over words across (label, heard) pairs, and the words. Zero where there are no words."""
    counted = [word_errors(label, heard) for label, heard in pairs]
    words = sum(total for _, total in counted)
    return (sum(wrong for wrong, _ in counted) / words if words else 0.0), words


def rouge_l(reference: str, reply: str) -> float:
    """ROUGE-L F-measure of two replies, 0 to 1; two empty replies agree."""
    if not normalise(reference) and not normalise(reply):
        return 1.0
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    return float(scorer.score(normalise(reference), normalise(reply))["rougeL"].fmeasure)
