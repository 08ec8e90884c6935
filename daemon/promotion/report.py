"""Reports how a generation was made, how it was judged, and on which utterances it differs from the
one before it.

Pure: knows cards, no disk and no daemon.
"""

from collections.abc import Callable

from engines.generations.card import Card, JudgedUtterance, Judgement
from engines.whisper.transcript_confidence import TranscriptConfidence

from ..events.report import ChangedUtterance, GenerationReport, LabelledUtterance, Made, Scores
from ..store.label_check import TOLD
from .verdict import verdict

SHOWN = 20


def explained(card: Card, text_of: Callable[[str], str]) -> GenerationReport:
    """Make a report of a card: its verdict in words, and the utterances that were heard better or
    worse. `text_of` returns the label of an utterance, given its id."""
    sets = {
        name: judged
        for name, judged in (
            ("holdout", card.holdout),
            ("recognised", card.recognised),
            ("general", card.general),
        )
        if judged is not None
    }
    return GenerationReport(
        generation=card.number,
        parent=card.parent,
        verdict=(
            verdict(card).reason if card.parent is not None else "the base, which came with Attune"
        ),
        made=Made(
            created_at=card.created_at,
            recipe=card.recipe,
            examples=card.examples_by_origin,
            minutes_of_audio=card.trained_seconds_of_audio / 60,
            steps=card.steps,
            skipped_steps=card.skipped_steps,
            processor_seconds=card.processor_seconds,
            wall_seconds=card.wall_seconds,
            peak_bytes=card.peak_bytes,
            replies=card.replies,
        ),
        recogniser=_recogniser(card),
        projector=(
            f"it keeps the projector of the one before it: {card.projector_left_out}"
            if card.projector_left_out
            else ""
        ),
        doubts=_doubts(card.transcript_confidence),
        labels_left_out={
            TOLD.get(fault, fault): count for fault, count in card.labels_left_out.items()
        },
        doubted=tuple(LabelledUtterance(id=one, text=text_of(one)) for one in card.doubted[:SHOWN]),
        scores={
            name: Scores(
                candidate=judged.candidate,
                current=judged.current,
                cascade=judged.cascade,
                recogniser=judged.recogniser,
                current_recogniser=judged.current_recogniser,
            )
            for name, judged in sets.items()
        },
        changed={
            name: tuple(
                ChangedUtterance(**one.model_dump(), text=text_of(one.id))
                for one in changed(judged)[:SHOWN]
            )
            for name, judged in sets.items()
        },
    )


def _recogniser(card: Card) -> str:
    if card.recogniser_left_out:
        return f"the recogniser that was trained is left out: {card.recogniser_left_out}"
    if card.recogniser_share is None:
        return ""
    if card.recogniser_share == 0:
        return "its recogniser is the base as it came, for nothing that was learnt helped more"
    return f"its recogniser keeps {card.recogniser_share:.0%} of what it learnt"


def _doubts(fitted: TranscriptConfidence | None) -> str:
    """What the cascade through the recogniser does in doubt, and whether it may write labels."""
    if fitted is None:
        return ""
    told = f"the cascade asks back where it is less than {fitted.threshold:.0%} sure"
    if fitted.precision is None:
        return f"{told}; too few of its sure transcripts were checked for it to write labels"
    proven = f"of its sure transcripts {fitted.precision:.0%} were right"
    writes = "so it writes" if fitted.writes_labels else "too few for it to write"
    return f"{told}; {proven}, {writes} labels of its own"


def changed(judged: Judgement) -> list[JudgedUtterance]:
    """Return the utterances on which the candidate has more or fewer errors than the generation
    before it; those that got worse come first."""
    differing = [one for one in judged.utterances if one.candidate != one.current]
    return sorted(differing, key=lambda one: (one.current - one.candidate, one.id))
