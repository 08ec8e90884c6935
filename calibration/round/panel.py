"""The sets that a candidate is judged on, who is judged on them, and their scores. Knows no
engines."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from engines.generations.card import JudgedUtterance, Judgement
from engines.jobs.messages import AdaptJob, Example, Report

from ..evaluation.judge import Judge, Recognise, Scored
from .choose import GENERAL_SLACK
from .unlike import split_unlike

CALIBRATED_OWN, CALIBRATED_GENERAL = 64, 64
"""The most utterances of the user and of the retention set that the confidence is fitted to: each
takes seconds, because its whole n-best list is compared."""
_JUDGED = ("candidate", "current", "cascade")
_RECOGNISERS = ("recogniser", "current_recogniser")
"""Those that are judged only where there are such."""


def calibrated(job: AdaptJob) -> list[tuple[Example, bool]]:
    """The examples that the confidence is fitted to, and whether each is the user's own: of those
    that are unlike the learnt ones, too, because most requests will be."""
    _, unlike = split_unlike(job.learnt)
    own, general = (
        stable_sample([*job.confirmed_holdout, *unlike], CALIBRATED_OWN),
        stable_sample(job.general, CALIBRATED_GENERAL),
    )
    return [*((example, True) for example in own), *((example, False) for example in general)]


def stable_sample(examples: Sequence[Example], most: int) -> list[Example]:
    """`most` of `examples`, in their order: those whose ids have the smallest hashes, so mostly the
    same ones while others are added."""
    ranked = sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())
    chosen = {example.id for example in ranked[:most]}
    return [example for example in examples if example.id in chosen]


class Steps:
    """The progress of the stage, in steps of one utterance that is decoded once."""

    def __init__(self, job: AdaptJob, report: Report) -> None:
        compared = 2 * min(job.reply_utterances, len(job.confirmed_holdout)) if job.distils else 0
        self.report = report
        self._done = 0
        self._to_do = (
            (len(_JUDGED) + (len(_RECOGNISERS) if job.recogniser else 0))
            * sum(map(len, _sets(job).values()))
            + len(calibrated(job))
            + compared
        )

    def done(self, note: str) -> None:
        """Report one more step, with a note."""
        self._done += 1
        self.report("judge", min(1.0, self._done / max(self._to_do, 1)), note)


def _sets(job: AdaptJob) -> dict[str, list[Example]]:
    """The sets that are judged, by their names in the card; sets without examples are left out."""
    sets = {
        "holdout": job.confirmed_holdout,
        "recognised": [
            example for example in job.examples if example.holdout and not example.confirmed
        ],
        "general": job.general,
    }
    return {name: examples for name, examples in sets.items() if examples}


class Panel:
    """All sets of utterances, with the scores of each of _JUDGED on them, and of _RECOGNISERS."""

    def __init__(self, job: AdaptJob, judge: Judge, steps: Steps) -> None:
        self._sets = _sets(job)
        self._replies = {"holdout": job.reply_utterances}
        self._judge = judge
        self._steps = steps
        self._scored: dict[str, dict[str, Scored]] = {}

    def judge(self, who: str, recognise: Recognise, adapter: Path | None) -> None:
        """Score `who`, of _JUDGED or _RECOGNISERS, on all sets; replies pass through `adapter`."""
        self._scored[who] = {
            name: self._judge.score(
                recognise,
                examples,
                f"{name}, {who}",
                replies=self._replies.get(name, 0),
                adapter=adapter,
                told=self._steps.done,
            )
            for name, examples in self._sets.items()
        }

    def copy(self, who: str, other: str) -> None:
        """Give `other`, which is the same recogniser, the scores of `who`."""
        self._scored[other] = self._scored[who]

    def why_left_out(self) -> str:
        """Why the candidate's projector is left out where its recogniser helps by itself: it hears
        the user no better than the current one, or forgot too much. Empty where it helps."""
        candidate, current = self._scored["candidate"], self._scored["current"]
        rates = {
            name: tuple(one[name].score.word_error_rate for one in (candidate, current))
            for name in self._sets
        }
        if "general" in rates and rates["general"][0] > rates["general"][1] + GENERAL_SLACK:
            return "it forgot too much: {:.1%} word error on the retention set (was {:.1%})".format(
                *rates["general"]
            )
        if "holdout" in rates and rates["holdout"][0] >= rates["holdout"][1]:
            return "it hears this user no better: {:.1%} word error (was {:.1%})".format(
                *rates["holdout"]
            )
        return ""

    def judgements(self) -> dict[str, Judgement]:
        """The judgement of each set, by its name; complete once all of _JUDGED were scored."""
        return {
            name: _judgement(examples, {who: by[name] for who, by in self._scored.items()})
            for name, examples in self._sets.items()
        }


def _judgement(examples: list[Example], by: dict[str, Scored]) -> Judgement:
    """The judgement of `examples` by the scores `by`, whose keys are the names of Judgement's
    scores."""
    utterances = []
    for place, example in enumerate(examples):
        errors = {who: scored.counted[place][0] for who, scored in by.items()}
        _, words = next(iter(by.values())).counted[place]
        utterances.append(JudgedUtterance(id=example.id, words=words, **errors))
    return Judgement(
        **{who: scored.score for who, scored in by.items()}, utterances=tuple(utterances)
    )
