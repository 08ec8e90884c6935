"""Answers `attune why`: how the last round ended, and what speaks for and against a generation."""

from pathlib import Path

from engines.errors import AttuneError
from engines.generations.folder import read_generation

from ..events.report import LastRound, ShadowReport, Why
from ..promotion.report import SHOWN, explained
from ..store.label_check import same_words
from ..store.shadow_readings import ShadowReadings
from ..store.store import Store

_SHOWN_MOVES = 5


def why(
    number: int | None, store: Store, generations: Path, shadow_readings: ShadowReadings
) -> Why:
    """Explain generation `number`; if it is None, the last round and the generation that it wrote.

    Raises AttuneError if no round has ended yet, or if generation `number` cannot be read.
    """
    last = store.history.last_round() if number is None else None
    if number is None and last is None:
        raise AttuneError("no round has ended yet; `attune status` says what it waits for")
    answer = Why(
        round=(
            LastRound(ended_at=last.ended_at, outcome=last.outcome, reason=last.reason)
            if last is not None
            else None
        ),
        moves=tuple(store.history.last_moves(_SHOWN_MOVES)),
    )
    written = last.generation if last is not None else number
    # The generation of the last round may have been removed since.
    if written is None or (number is None and not _folder(generations, written).exists()):
        return answer
    try:
        card = read_generation(_folder(generations, written)).card
    except AttuneError as error:
        if number is not None:
            raise
        return answer.model_copy(update={"problem": str(error)})
    heard = shadow_readings.compared(card.number)
    otherwise = [one for one in heard if not same_words(one.heard, one.shadow_heard)]
    return answer.model_copy(
        update={
            "generation": explained(card, store.text_of),
            "shadow": ShadowReport(turns=len(heard), otherwise=tuple(otherwise[-SHOWN:])),
        }
    )


def _folder(generations: Path, number: int) -> Path:
    return generations / f"{number:04d}"
