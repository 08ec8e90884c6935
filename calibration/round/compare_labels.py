"""Finds labels that do not fit their recordings: compares each with other texts by how well it fits
the sound. Knows no training.

A label of another recording, of nothing, or of silence is learnt like a true one, and held-out
labels that are wrong in the same way confirm the result. The base projector, which no user's label
ever trained, tells them apart: by the CTC score of their phonemes
(`engines/alignment/ctc_score.py`) a true text fits its recording better than any other text of the
same enrolment does, also where a voice is atypical (docs/adr/0020). Loads no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from engines.alignment.ctc_score import phoneme_scores
from engines.alignment.projector import OnnxProjector
from engines.alignment.text_normalisation import spoken_tokens
from engines.errors import AttuneError, RoundRefusedError
from engines.generations.folder import BASE, projector_of, read_generation
from engines.jobs.messages import AdaptJob, Example, Report
from engines.llm.vocabulary import Vocabulary
from engines.types import Float32

from ..training.features import Features
from .folder import RoundFolder

MARGIN = 6.0
"""The natural log likelihood by which another text must fit a recording better for its label to be
doubted. Of 840 true labels of 14 synthetic voices, ten of them atypical, and of 100 of a real one,
none was behind by more than 5 (docs/adr/0020)."""
MOST_OTHERS = 150
"""The most texts of the same enrolment that a label is compared with; of a larger enrolment they
are drawn."""
LEAST_CONTROLS, MOST_CONTROLS = 5, 12
"""The number of recordings of the retention set, whose labels are known to be true, on which the
projector must show that it can tell."""
_ABLE = 0.8
"""The share of the controls whose labels must fit."""
_PASSED_BY_CHANCE = 0.1
"""The largest share of labels of other recordings that is not doubted: 2 to 3 % were."""
_UNLIKELY = 0.05
LEAST_TESTED = 10
"""The fewest labels given by a person from which chance can be told."""

Phonemes = NDArray[np.uint8]


@dataclass(frozen=True)
class Pronounced:
    """A recording with its label, both as phonemes."""

    id: str
    log_probabilities: Float32
    """[T, S] natural log probabilities of phonemes at T moments of the recording."""
    label: Phonemes
    """[P] numbers of phonemes, none of them 0; P may be 0."""


def doubt_labels(job: AdaptJob, features: Features, report: Report) -> None:
    """Write to the job's folder which of its examples have a label that does not fit its recording
    (`RoundFolder.doubted`).

    None is doubted where the base cannot tell: where it is gone, or does not recognise the
    retention set's own labels. Raises RoundRefusedError where no more of the labels that a person
    gave fit than would if they were of other recordings, or nothing is left to train on.
    """
    folder = RoundFolder(job.folder)
    folder.write_doubted([])
    try:
        graph, _ = projector_of(read_generation(job.generations / f"{BASE:04d}"))
        base = OnnxProjector(graph, job.threads)
    except AttuneError as error:
        report("hear", 1.0, f"labels are not compared with their recordings: {error}")
        return
    vocabulary = Vocabulary(job.engines.language_model)
    pronouncer = _Pronouncer(features, base, vocabulary)
    general = [pronouncer.phonemes(example.text) for example in job.general]
    controls = pronouncer.pronounced(job.general[:MOST_CONTROLS])
    able = [not is_doubted(control, general) for control in controls]
    if len(controls) < LEAST_CONTROLS or sum(able) < _ABLE * len(able):
        report(
            "hear",
            1.0,
            "labels are not compared with their recordings: the base cannot tell those of the"
            " retention set",
        )
        return
    others = [
        *_drawn([pronouncer.phonemes(example.text) for example in job.examples], job.seed),
        *general,
    ]
    doubted = []
    for index, example in enumerate(job.examples, 1):
        doubted += [one.id for one in pronouncer.pronounced([example]) if is_doubted(one, others)]
        report(
            "hear",
            index / len(job.examples),
            f"{index} of {len(job.examples)} labels compared, {len(doubted)} doubted",
        )
    vocabulary.close()
    folder.write_doubted(doubted)
    if not {example.id for example in job.examples if not example.holdout}.difference(doubted):
        raise _refusal(len(job.examples), len(doubted))
    confirmed = {example.id for example in job.examples if example.confirmed}
    refuse_chance(len(confirmed), len(confirmed.intersection(doubted)))


def is_doubted(one: Pronounced, others: Sequence[Phonemes]) -> bool:
    """Whether one of the texts `others`, or silence, fits the recording of `one` better than its
    label by MARGIN."""
    if not len(one.label):
        return True
    own = one.label.tobytes()
    texts = list(
        {text.tobytes(): text for text in others if len(text) and text.tobytes() != own}.values()
    )
    scores = phoneme_scores(one.log_probabilities, [one.label, np.zeros(0, np.uint8), *texts])
    return bool(scores[1:].max() - scores[0] > MARGIN)


def refuse_chance(labels: int, doubted: int) -> None:
    """Raise RoundRefusedError where so few of `labels` fit as if all of them were of other
    recordings (binomial test).

    Fewer than LEAST_TESTED labels are too few for the test.
    """
    if labels >= LEAST_TESTED and doubted and chance_of(labels - doubted, labels) > _UNLIKELY:
        raise _refusal(labels, doubted)


def _refusal(labels: int, doubted: int) -> RoundRefusedError:
    return RoundRefusedError(
        f"refused: {doubted} of {labels} labels do not fit their recordings, as if they were of"
        " others; check that each row of the manifest names the recording of its own text, and"
        " enrol it again with --replace"
    )


def chance_of(fitting: int, labels: int) -> float:
    """The probability that at least `fitting` of `labels` fit, if all of them were of other
    recordings."""
    rate = _PASSED_BY_CHANCE
    return sum(
        comb(labels, count) * rate**count * (1 - rate) ** (labels - count)
        for count in range(fitting, labels + 1)
    )


@dataclass(frozen=True)
class _Pronouncer:
    """Finds the phonemes of texts, and those of recordings by the base projector."""

    features: Features
    projector: OnnxProjector
    vocabulary: Vocabulary

    def phonemes(self, text: str) -> Phonemes:
        """The phonemes of those words of `text` that have a pronunciation."""
        spoken = self.projector.pronunciations[spoken_tokens(text, self.vocabulary)]
        return np.asarray(spoken[spoken > 0])

    def pronounced(self, examples: Sequence[Example]) -> list[Pronounced]:
        """The phonemes of those of `examples` whose recordings can be read."""
        found = []
        for example in examples:
            try:
                frames = self.features.frames(example)
            except AttuneError:
                continue  # it was reported when its features were extracted
            no_first_pass = np.zeros((0, self.projector.first_pass_width), np.float32)
            log_probabilities = self.projector.project(frames, no_first_pass).phonemes
            found.append(Pronounced(example.id, log_probabilities, self.phonemes(example.text)))
        return found


def _drawn(texts: Sequence[Phonemes], seed: int) -> list[Phonemes]:
    """At most MOST_OTHERS distinct texts of `texts`."""
    different = list({text.tobytes(): text for text in texts}.values())
    if len(different) <= MOST_OTHERS:
        return different
    return [
        different[place]
        for place in np.random.default_rng(seed).choice(len(different), MOST_OTHERS, replace=False)
    ]
