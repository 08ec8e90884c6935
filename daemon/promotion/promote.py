"""What becomes of a candidate that was trained and judged: it takes over, is tried in shadow, or is
refused."""

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
    """Give the verdict and act on it: the outcome and its reason, for people. With `shadow_turns`
    a candidate that is good enough hears so many turns in shadow first.

    Doing so again after a kill comes to the same. A candidate that cannot be served leaves what was
    current, and the outcome is `failed`.
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
    """The same verdict; its reason also says which labels were left out."""
    left_out = told_left_out(card.labels_left_out)
    return replace(judged, reason=f"{judged.reason}; {left_out}") if left_out else judged
