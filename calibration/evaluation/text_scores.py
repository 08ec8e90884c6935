"""The word error rate and ROUGE of texts, after the same normalisation. Knows no audio and no
models.

The normalisation is Whisper's own for English (numbers as digits, contractions written out, no
punctuation, no capitals), so that no recogniser is charged for spelling "Dr." where the label says
"doctor".
"""

from collections.abc import Sequence
from functools import cache

import jiwer
from rouge_score import rouge_scorer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

_FUNCTION_WORDS = frozenset(
    "a about after all am an and any are as at be because been before but by can could did do does"
    " for from had has have he her him his how i if in into is it its let may me might must my no"
    " nor not of off on or our out over shall she should so some than that the their them then"
    " there these they this those to too under until up us was we were what when where which while"
    " who whom whose why will with would you your please".split()
)
"""Words that only connect others; every other word carries content."""


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def normalise(text: str) -> str:
    """`text` in lower case, without punctuation, with numbers as digits and contractions written
    out."""
    return str(_normalizer()(text)).strip()


def word_errors(label: str, heard: str) -> tuple[int, int]:
    """The substitutions, deletions and insertions of `heard` against `label`, and the number of
    words of `label`."""
    expected, found = normalise(label), normalise(heard)
    if not expected:
        return len(found.split()), 0
    measured = jiwer.process_words(expected, found)
    return measured.substitutions + measured.deletions + measured.insertions, len(expected.split())


def content_errors(label: str, heard: str) -> tuple[int, int]:
    """The number of content words that are wrong, missing or added in `heard`, and the number of
    content words of `label`."""
    expected, found = normalise(label).split(), normalise(heard).split()
    total = sum(_carries_content(word) for word in expected)
    if not expected or not found:
        return (total if expected else sum(map(_carries_content, found))), total
    wrong = 0
    for chunk in jiwer.process_words(" ".join(expected), " ".join(found)).alignments[0]:
        if chunk.type in ("substitute", "delete"):
            wrong += sum(map(_carries_content, expected[chunk.ref_start_idx : chunk.ref_end_idx]))
        elif chunk.type == "insert":
            wrong += sum(map(_carries_content, found[chunk.hyp_start_idx : chunk.hyp_end_idx]))
    return wrong, total


def content_words(texts: Sequence[str]) -> list[str]:
    """The words of `texts` that carry content, as they are written, each once and in order."""
    words = (word.strip(".,;:!?\"'()") for text in texts for word in text.split())
    return [
        word
        for word in dict.fromkeys(words)
        if (said := normalise(word)) and all(map(_carries_content, said.split()))
    ]


def _carries_content(word: str) -> bool:
    return word not in _FUNCTION_WORDS


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> tuple[float, int]:
    """The word error rate across (label, heard) pairs, and the number of words; 0 where there are
    no words."""
    return error_rate([word_errors(label, heard) for label, heard in pairs])


def error_rate(counted: Sequence[tuple[int, int]]) -> tuple[float, int]:
    """The error rate across utterances with their errors and words (`word_errors`), and the number
    of words; 0 where there are none."""
    words = sum(total for _, total in counted)
    return (sum(wrong for wrong, _ in counted) / words if words else 0.0), words


def rouge_l(reference: str, reply: str) -> float:
    """The ROUGE-L F-measure of two replies, 0 to 1; two empty replies agree."""
    return rouge(reference, reply)[1]


def rouge(reference: str, reply: str) -> tuple[float, float]:
    """The ROUGE-1 and ROUGE-L F-measures of two replies, 0 to 1; two empty replies agree."""
    if not normalise(reference) and not normalise(reply):
        return 1.0, 1.0
    scores = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=False).score(
        normalise(reference), normalise(reply)
    )
    return float(scores["rouge1"].fmeasure), float(scores["rougeL"].fmeasure)
