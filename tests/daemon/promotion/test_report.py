"""What a report says of the parts of a generation."""

import pytest

from daemon.promotion.report import explained
from engines.generations.card import Card
from engines.whisper.transcript_confidence import TranscriptConfidence


def card(**fields: object) -> Card:
    given = {"number": 3, "parent": 2, "created_at": "", "recipe": "test"} | fields
    return Card.model_validate(given)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ""),
        ({"recogniser_share": 0.6}, "its recogniser keeps 60% of what it learnt"),
        ({"recogniser_share": 0.0}, "its recogniser is the base as it came"),
        ({"recogniser_left_out": "it forgot"}, "trained is left out: it forgot"),
    ],
)
def test_what_became_of_the_recogniser(fields: dict[str, object], told: str) -> None:
    assert told in explained(card(**fields), str).recogniser
    assert bool(explained(card(**fields), str).recogniser) == bool(told)


def test_why_a_projector_was_kept() -> None:
    kept = explained(card(projector_left_out="its training is off"), str)
    assert kept.projector == "it keeps the projector of the one before it: its training is off"
    assert explained(card(), str).projector == ""


@pytest.mark.parametrize(
    ("precision", "told"),
    [
        (None, "too few of its sure transcripts were checked for it to write labels"),
        (0.95, "of its sure transcripts 95% were right, so it writes labels of its own"),
        (0.8, "of its sure transcripts 80% were right, too few for it to write labels of its own"),
    ],
)
def test_when_it_doubts_and_whether_it_writes_labels(precision: float | None, told: str) -> None:
    fitted = TranscriptConfidence(offset=3.0, slope=1.0, threshold=0.75, precision=precision)
    doubts = explained(card(transcript_confidence=fitted), str).doubts
    assert doubts == f"the cascade asks back where it is less than 75% sure; {told}"
    assert explained(card(), str).doubts == ""
