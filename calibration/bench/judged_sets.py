"""Sets of utterances to judge on, and the scores of a recogniser on them. Knows scores, no
training."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.errors import AttuneError
from engines.jobs.bench_figures import ReliabilityStep, SetScores, Trust
from engines.jobs.messages import Example
from engines.llm.vocabulary import Vocabulary
from engines.routes import all_words_of
from engines.types import SoftTokens, Transcript

from ..corpus.manifests import read_recordings
from ..evaluation.fit_confidence import calibration_error, reliability_curve
from ..evaluation.judge import Judge
from ..evaluation.text_scores import content_errors, rouge, word_error_rate, word_errors


@dataclass(frozen=True)
class JudgedSet:
    """The examples of a manifest."""

    name: str
    examples: list[Example]

    def first(self, count: int) -> "JudgedSet":
        """The set with no more than its first `count` examples."""
        return JudgedSet(self.name, self.examples[:count])


def read_set(manifest: Path, name: str | None = None) -> JudgedSet:
    """The recordings of a manifest as examples, each with the hash of its file as id. Raises
    AttuneError where there are none, or one is missing: a benchmark leaves nothing out in
    silence."""
    examples = []
    for audio, text in read_recordings(manifest):
        try:
            digest = hashlib.sha256(audio.read_bytes()).hexdigest()[:32]
        except OSError as error:
            raise AttuneError(f"{manifest}: {audio} cannot be read ({error.strerror})") from None
        examples.append(Example(id=digest, audio=audio, text=text, origin="enrolled"))
    if not examples:
        raise AttuneError(f"{manifest} has no recordings; give JSON lines of `audio` and `text`")
    return JudgedSet(name or manifest.stem, examples)


def judge_set(
    judged: JudgedSet,
    hearer: str,
    heard: Sequence[Transcript | SoftTokens],
    vocabulary: Vocabulary,
    threshold: float | None,
    log: Path,
) -> SetScores:
    """The scores of `heard`, what the recogniser `hearer` gave for a set; `log` gets a JSON line
    for each utterance. With a `threshold`, the worth of the confidence is measured, too."""
    words = all_words_of(heard, vocabulary)
    pairs = [(example.text, text) for example, text in zip(judged.examples, words, strict=True)]
    content = [content_errors(label, text) for label, text in pairs]
    content_words = max(1, sum(total for _, total in content))
    confidences = [one.confidence for one in heard]
    rows = [
        {"set": judged.name, "hearer": hearer, "text": label, "heard": text, "confidence": sure}
        for (label, text), sure in zip(pairs, confidences, strict=True)
    ]
    with log.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    trust = None
    if threshold is not None:
        sure = [confidence or 0.0 for confidence in confidences]
        curve = reliability_curve(
            [(one, word_errors(*pair)[0] == 0) for one, pair in zip(sure, pairs, strict=True)]
        )
        trust = Trust(
            passing=sum(one >= threshold for one in sure) / len(sure),
            wrong_acted=sum(
                wrong for (wrong, _), one in zip(content, sure, strict=True) if one >= threshold
            )
            / content_words,
            threshold=threshold,
            reliability=[
                ReliabilityStep(confidence=step.confidence, right=step.right, count=step.count)
                for step in curve
            ],
            calibration_error=calibration_error(curve),
        )
    return SetScores(
        set=judged.name,
        hearer=hearer,
        utterances=len(heard),
        word_error_rate=word_error_rate(pairs)[0],
        content_word_error_rate=sum(wrong for wrong, _ in content) / content_words,
        trust=trust,
    )


Replies = dict[str, list[str]]
"""The pieces of the reply to each text."""


def with_replies(
    scores: SetScores,
    judge: Judge,
    judged: JudgedSet,
    words: Sequence[str | Transcript | SoftTokens],
    expected: Replies,
    adapter: Path | None = None,
) -> SetScores:
    """`scores` with what the replies to `words`, of the first utterances, have in common with the
    replies to their true texts; soft tokens pass through `adapter`."""
    rouges, same = [], []
    for example, some in zip(judged.examples, words, strict=False):
        true, found = expected[example.text], judge.reply_pieces(some, adapter)
        rouges.append(rouge("".join(true), "".join(found)))
        same.append(true[:1] == found[:1])
    unigrams, longest = zip(*rouges, strict=True) if rouges else ((), ())
    return scores.model_copy(
        update={
            "rouge_1": float(np.mean(unigrams)) if rouges else None,
            "rouge_l": float(np.mean(longest)) if rouges else None,
            "same_first_token": float(np.mean(same)) if same else None,
        }
    )


def first_minutes(
    examples: Sequence[Example], minutes: float, seconds_of: Callable[[Example], float]
) -> list[Example]:
    """The first of `examples` that together last no longer than `minutes`, and at least one."""
    taken: list[Example] = []
    seconds = 0.0
    for example in examples:
        seconds += seconds_of(example)
        if taken and seconds > 60 * minutes:
            break
        taken.append(example)
    return taken
