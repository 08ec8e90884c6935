"""Decides what becomes of a candidate that was trained and judged: it takes over, is tried in
shadow, or is refused."""

from dataclasses import replace

from engines.generations.card import Card
from engines.generations.folder import Generation

from ..serving.moves import Moves
from ..store.label_audit import told_left_out
from ..store.records import RoundOutcome
from .verdict import Verdict, verdict


def promote_or_refuse(
    candidate: Generation, shadow_turns: int, moves: Moves
) -> tuple[RoundOutcome, str]:
    """Give the verdict on a candidate and act on it. Returns the outcome, and its reason for the
    user. If `shadow_turns` is not 0, a candidate that is good enough first hears that many turns in
    shadow.

    A second call, after a kill, has the same result. If the candidate cannot be served, the outcome
    is `failed` and the current generation stays.
    """
    if reason := moves.overtaken(candidate):
        return "refused", reason
    judged = _with_labels_left_out(verdict(candidate.card), candidate.card)
    if not judged.promote:
        return "refused", judged.reason
    if shadow_turns:
        outcome, problem = moves.put_in_shadow(candidate)
        figures = judged.reason.removeprefix("promoted: ")
        told = (
            f"good enough to hear {shadow_turns} turns in shadow before it is promoted: {figures}"
        )
        return outcome, problem or told
    outcome, problem = moves.take_over(candidate, "its round ended")
    return outcome, problem or judged.reason


def _with_labels_left_out(judged: Verdict, card: Card) -> Verdict:
    """Return the same verdict, with a reason that also says which labels were left out."""
    left_out = told_left_out(card.labels_left_out)
    return replace(judged, reason=f"{judged.reason}; {left_out}") if left_out else judged
