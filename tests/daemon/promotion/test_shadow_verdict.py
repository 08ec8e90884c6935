"""What becomes of a candidate that heard along: refused only where it clearly misheard more."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.promotion.shadow_verdict import CHANCE, chance_of, shadow_verdict
from daemon.store.label_check import same_words
from daemon.store.records import ShadowReading

ALIKE = ShadowReading(
    1,
    "Turn on the light",
    "Done.",
    sure=True,
    label=None,
    shadow_heard="turn on the light.",
    shadow_reply=None,
)
MISHEARD = replace(ALIKE, shadow_heard="turn on the right")
MENDED = replace(
    ALIKE, heard="turn on the right", label="turn on the light", shadow_heard="turn on the light"
)
DOUBTED = replace(MISHEARD, sure=False)
ON_THE_CASCADE = replace(MISHEARD, sure=None)


COUNTED = [
    (0, 0, 1.0),
    (1, 0, 1 / 2),
    (5, 0, 1 / 32),
    (6, 1, 8 / 128),
    (7, 1, 9 / 256),
    (1, 5, 63 / 64),
]


@pytest.mark.parametrize(("worse", "better", "expected"), COUNTED)
def test_the_chance_is_that_of_a_fair_coin(worse: int, better: int, expected: float) -> None:
    """Counted by hand: the ways to throw at least so many heads."""
    assert chance_of(worse, better) == pytest.approx(expected, rel=1e-12)


def test_it_takes_over_where_nothing_clearly_speaks_against_it() -> None:
    assert shadow_verdict([]).promote
    assert shadow_verdict([ALIKE] * 30).promote
    assert shadow_verdict([MISHEARD] * 4).promote, "four of four may be chance"
    judged = shadow_verdict([ALIKE] * 25 + [MISHEARD] * 5)
    assert not judged.promote
    assert (
        judged.reason
        == "refused: of 30 turns in shadow 5 were heard differently; of 30 whose words are known"
        " 5 only wrong now, 0 only right now"
    )
    assert shadow_verdict([MISHEARD] * 5 + [MENDED] * 5).promote


@pytest.mark.parametrize("unknown", [DOUBTED, ON_THE_CASCADE])
def test_what_was_never_sure_nor_confirmed_proves_nothing(unknown: ShadowReading) -> None:
    judged = shadow_verdict([unknown] * 50)
    assert judged.promote
    assert "50 were heard differently; of 0 whose words are known" in judged.reason
    confirmed = replace(unknown, label=unknown.heard)
    assert not shadow_verdict([confirmed] * 50).promote


@given(st.lists(st.sampled_from([ALIKE, MISHEARD, MENDED, DOUBTED, ON_THE_CASCADE]), max_size=60))
def test_one_more_turn_that_only_the_candidate_heard_right_never_refuses_it(
    turns: list[ShadowReading],
) -> None:
    before, after = shadow_verdict(turns), shadow_verdict([*turns, MENDED])
    assert after.promote or not before.promote
    worse, better = turns.count(MISHEARD), turns.count(MENDED)
    assert before.promote == (chance_of(worse, better) > CHANCE)


@pytest.mark.parametrize(
    ("one", "other", "same"), [("Don't.", "don't", True), ("", "?", True), ("two", "to", False)]
)
def test_words_are_compared_without_capitals_and_punctuation(
    one: str, other: str, same: bool
) -> None:
    assert same_words(one, other) == same
