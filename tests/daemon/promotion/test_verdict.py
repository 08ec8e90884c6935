"""The verdict on a candidate: better for the user, no worse for the rest, and never without
proof."""

import re
from math import inf, nan

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from daemon.judgement import MIN_UTTERANCES, MIN_WORDS
from daemon.promotion.verdict import GENERAL_SLACK, MAX_WORD_ERROR, verdict, would_refuse
from daemon.serving.earned_route import HEARS_WELL, earned_route, when_unsure
from engines.generations.card import Card, JudgedUtterance, Judgement, Score
from tests.support.fake_child import judged


def score(rate: float, utterances: int = 37, words: int = 200) -> Score:
    return Score(utterances=utterances, words=words, word_error_rate=rate)


def judgement(
    candidate: float, current: float, cascade: float = 0.592, utterances: int = 37
) -> Judgement:
    return judged(candidate, current, cascade, utterances)


def each(*heard: tuple[int, int]) -> Judgement:
    """Utterances of ten words, by what the candidate and the current generation have wrong."""
    utterances = [
        JudgedUtterance(id=f"u{index}", words=10, candidate=candidate, current=current, cascade=5)
        for index, (candidate, current) in enumerate(heard)
    ]
    rates = [sum(errors) / (10 * len(heard)) for errors in zip(*heard, strict=True)]
    scores = [score(rate, len(heard), 10 * len(heard)) for rate in (*rates, 0.5)]
    return Judgement(
        candidate=scores[0], current=scores[1], cascade=scores[2], utterances=tuple(utterances)
    )


def card(
    holdout: Judgement | None, general: Judgement | None = None, recognised: Judgement | None = None
) -> Card:
    return Card(
        number=3,
        parent=2,
        created_at="",
        recipe="test",
        holdout=holdout,
        general=general,
        recognised=recognised,
    )


def test_promotes_what_hears_better_and_says_so_in_figures() -> None:
    found = verdict(card(judgement(0.031, 0.57), judgement(0.606, 0.631)))
    assert found.promote
    assert (
        found.reason
        == "promoted: 3.1 % word error on 37 held-out utterances (current 57.0 %, cascade 59.2 %);"
        " retention set 60.6 % (was 63.1 %)"
    )


@pytest.mark.parametrize(
    ("holdout", "general", "why"),
    [
        (None, judgement(0.6, 0.6), "0 held-out utterances with a confirmed text, 5 needed"),
        (judgement(0.0, 0.5, utterances=4), judgement(0.6, 0.6), "4 held-out utterances"),
        (
            judged(0.0, 1.0, 1.0, utterances=7, words=2),
            judgement(0.6, 0.6),
            "14 words in 7 held-out utterances, 15 needed",
        ),
        (judgement(3.0, 3.5, 3.0), judgement(0.6, 0.6), "more than 50% of the words are misheard"),
        (
            judgement(0.501, 0.9, 0.95),
            judgement(0.6, 0.6),
            "more than 50% of the words are misheard",
        ),
        (judgement(0.0, 0.5, utterances=2), judgement(0.6, 0.6), "2 held-out utterances"),
        (
            Judgement(candidate=score(0, words=0), current=score(0.5), cascade=score(0.5)),
            judgement(0.6, 0.6),
            "held-out",
        ),
        (judgement(0.1, 0.5), None, "the retention set was not judged"),
        (judgement(0.1, 0.5), judgement(0.64, 0.60), "it forgot too much"),
        (judgement(0.5, 0.5), judgement(0.6, 0.6), "no better for this user"),
        (judgement(0.51, 0.5), judgement(0.1, 0.6), "no better for this user"),
        (judgement(0.497, 0.5), judgement(0.6, 0.6), "no better for this user"),
        (judgement(nan, 0.5), judgement(0.6, 0.6), "no better for this user"),
        (judgement(0.1, 0.5), judgement(nan, 0.6), "it forgot too much"),
    ],
)
def test_refuses_without_proof(
    holdout: Judgement | None, general: Judgement | None, why: str
) -> None:
    found = verdict(card(holdout, general))
    assert not found.promote
    assert found.reason.startswith("refused: ")
    assert why in found.reason


@pytest.mark.parametrize(
    ("cascade", "expected"),
    [(0.05, "cascade"), (0.25, "cascade"), (0.26, "ask"), (0.6, "ask"), (nan, "ask")],
)
def test_a_doubt_goes_to_the_cascade_only_where_that_hears_well(
    cascade: float, expected: str
) -> None:
    assert when_unsure(card(judgement(0.1, 0.2, cascade=cascade))) == expected


def test_a_doubt_goes_to_the_cascade_where_nothing_is_known() -> None:
    assert when_unsure(card(None)) == "cascade"
    assert when_unsure(card(judgement(0.1, 0.2, cascade=0.6, utterances=2))) == "cascade"


SAME = judgement(0.5, 0.5)
ALIKE = [(1, 1)] * 27


@pytest.mark.parametrize(
    ("holdout", "general", "told"),
    [
        (
            each((0, 9), *ALIKE),
            SAME,
            (
                "that it is better may be chance (it is in 63% of resampled sets): 9.6 % word error"
                " on 28"
            ),
        ),
        (each(*[(0, 2)] * 3, *[(1, 0)] * 3, *ALIKE), SAME, "that it is better may be chance"),
        (judgement(0.1, 0.5), each((7, 0), *ALIKE), "it may have forgotten too much"),
        (
            judgement(0.1, 0.5).model_copy(update={"utterances": ()}),
            SAME,
            "that it is better may be chance (it is in 0%",
        ),
    ],
)
def test_what_may_be_chance_promotes_nothing(
    holdout: Judgement, general: Judgement, told: str
) -> None:
    found = verdict(card(holdout, general))
    assert not found.promote
    assert told in found.reason


@pytest.mark.parametrize("improved", [4, 10, 28])
def test_what_a_few_utterances_agree_on_is_none(improved: int) -> None:
    holdout = each(*[(0, 3)] * improved, *ALIKE[: 28 - improved])
    assert verdict(card(holdout, SAME)).promote


def test_a_gain_on_the_retention_set_alone_is_none_for_the_user() -> None:
    """Somebody else's recordings may bring it: what is heard worse by then is not held out."""
    for found in (
        verdict(card(judgement(0.5, 0.5), judgement(0.3, 0.6))),
        verdict(card(SAME, each(*[(0, 3)] * 28))),
    ):
        assert not found.promote
        assert found.reason.startswith("refused: no better for this user")


def test_forgetting_exactly_the_slack_is_allowed() -> None:
    assert verdict(card(judgement(0.1, 0.5), judgement(0.63, 0.60))).promote


def test_recognised_labels_alone_prove_nothing() -> None:
    agreeing = card(None, judgement(0.5, 0.6), recognised=judgement(0.0, 0.9, 0.0))
    assert not verdict(agreeing).promote
    assert earned_route(agreeing)[0] == "cascade"


@pytest.mark.parametrize(
    ("holdout", "route"),
    [
        (judgement(0.03, 0.5, 0.59), "aligned"),
        (judgement(0.02, 0.5, 0.02), "cascade"),
        (judgement(0.02, 0.5, 0.021), "aligned"),
        (judgement(0.03, 0.5, 0.02), "cascade"),
        (judgement(0.24, 0.9, 0.9), "aligned"),
        (judgement(0.26, 0.9, 0.9), "cascade"),
        (judgement(3.0, 3.0, 3.0), "cascade"),
        (judgement(0.0, 0.5, 0.5, utterances=4), "cascade"),
        (judgement(nan, 0.5, 0.02), "cascade"),
        (judgement(0.03, 0.5, nan), "cascade"),
        (judgement(inf, 0.5, inf), "cascade"),
        (judgement(0.0, 0.5, 0.5, utterances=2), "cascade"),
        (None, "cascade"),
    ],
)
def test_the_aligned_route_is_earned_against_the_cascade(
    holdout: Judgement | None, route: str
) -> None:
    assert earned_route(card(holdout))[0] == route


rates = st.floats(0, 2)


@given(candidate=rates, current=rates, general=rates, general_before=rates, gain=st.floats(0, 1))
def test_a_worse_candidate_is_never_promoted_where_a_better_one_is_refused(
    candidate: float, current: float, general: float, general_before: float, gain: float
) -> None:
    allowed = verdict(
        card(judgement(candidate, current), judgement(general, general_before))
    ).promote
    better_here = verdict(
        card(judgement(max(0, candidate - gain), current), judgement(general, general_before))
    ).promote
    better_there = verdict(
        card(judgement(candidate, current), judgement(max(0, general - gain), general_before))
    ).promote
    assert better_here >= allowed
    assert better_there >= allowed


@given(candidate=rates, current=rates, general=rates, general_before=rates)
def test_what_is_promoted_is_no_worse_for_the_user_and_has_hardly_forgotten(
    candidate: float, current: float, general: float, general_before: float
) -> None:
    if verdict(card(judgement(candidate, current), judgement(general, general_before))).promote:
        assert candidate <= current + 1e-9
        assert general <= general_before + GENERAL_SLACK + 1e-9


@given(candidate=rates, cascade=rates)
def test_aligned_exactly_where_better_than_the_cascade_and_good_enough(
    candidate: float, cascade: float
) -> None:
    assume(not 0.24 < candidate <= 0.25)  # where the interval decides
    earned = earned_route(card(judgement(candidate, 0.5, cascade)))[0] == "aligned"
    assert earned == (candidate < cascade and candidate <= 0.25)


def heard(*utterances: tuple[int, int, int]) -> Judgement:
    """Utterances by their words, and what the candidate and the cascade have wrong; the current
    generation has all wrong."""
    words = sum(of for of, _, _ in utterances)
    rates = [sum(errors) / max(words, 1) for errors in list(zip(*utterances, strict=True))[1:]]
    candidate, cascade = (score(rate, len(utterances), words) for rate in rates)
    return Judgement(
        candidate=candidate,
        current=score(1.0, len(utterances), words),
        cascade=cascade,
        utterances=tuple(
            JudgedUtterance(id=f"u{index}", words=of, candidate=own, current=of, cascade=theirs)
            for index, (of, own, theirs) in enumerate(utterances)
        ),
    )


@pytest.mark.parametrize(
    ("judgement", "route", "told"),
    [
        (heard(*[(5, 0, 5)] * 5), "aligned", "earned: 0.0 %"),
        (heard(*[(5, 1, 5)] * 8), "cascade", "it may be 32.1 %"),  # forty words tell too little
        (heard(*[(5, 1, 5)] * 100), "aligned", "earned: 20.0 %"),
        # A quarter of the utterances has all errors.
        (heard(*[(5, 0, 3)] * 6, *[(5, 5, 3)] * 2), "cascade", "it may be"),
        (heard(*[(5, 0, 1)] * 8, *[(5, 3, 0)] * 2), "cascade", "that it is no worse may be chance"),
    ],
)
def test_a_route_is_earned_by_enough_words_only(
    judgement: Judgement, route: str, told: str
) -> None:
    found, reason = earned_route(card(judgement))
    assert found == route, reason
    assert told in reason


def test_a_card_that_does_not_say_how_each_was_heard_needs_more_utterances() -> None:
    def silent(utterances: int) -> Card:
        return card(judgement(0.0, 0.5, 0.5, utterances).model_copy(update={"utterances": ()}))

    assert [earned_route(silent(utterances))[0] for utterances in (8, 9)] == ["cascade", "aligned"]


def test_a_later_judgement_above_the_floor_takes_the_route_away() -> None:
    own, later = card(judgement(0.05, 0.5, 0.6)), card(judgement(0.5, 0.4, 0.6))
    assert earned_route(own)[0] == "aligned"
    assert earned_route(own, [later])[0] == "cascade"


def test_who_promotes_by_hand_what_was_refused_is_told() -> None:
    assert would_refuse(card(judgement(0.1, 0.5), judgement(0.6, 0.6))) == ""
    assert "more than 50%" in would_refuse(card(judgement(0.8, 0.9), judgement(0.6, 0.6)))
    assert would_refuse(Card(number=0, parent=None, created_at="", recipe="base")) == ""


utterances = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=40
)


@settings(max_examples=200)
@given(holdout=utterances, general=utterances)
def test_no_card_is_promoted_or_earns_a_route_above_the_floors(
    holdout: list[tuple[int, int, int]], general: list[tuple[int, int, int]]
) -> None:
    found = card(heard(*holdout), heard(*general))
    words, own = sum(of for of, _, _ in holdout), sum(wrong for _, wrong, _ in holdout)
    few = len(holdout) < MIN_UTTERANCES or words < MIN_WORDS
    if few or own > MAX_WORD_ERROR * words:
        assert not verdict(found).promote
    if few or own > HEARS_WELL * words:
        assert earned_route(found)[0] == "cascade"


def with_recogniser(of: Judgement, own: float, current: float | None) -> Judgement:
    """`of`, in which the recogniser, and the current generation's, mishear these shares."""

    def errors(rate: float | None, words: int) -> int | None:
        return None if rate is None else round(min(rate, 1.0) * words)

    utterances = tuple(
        one.model_copy(
            update={
                "recogniser": errors(own, one.words),
                "current_recogniser": errors(current, one.words),
            }
        )
        for one in of.utterances
    )
    scores = {
        "recogniser": score(own),
        "current_recogniser": None if current is None else score(current),
    }
    return of.model_copy(update={"utterances": utterances, **scores})


def recognising(
    holdout: Judgement,
    general: Judgement,
    own: tuple[float, float | None],
    forgot: tuple[float, float | None] = (0.05, 0.05),
) -> Card:
    """A card of a round that trained a recogniser, too."""
    made = card(with_recogniser(holdout, *own), with_recogniser(general, *forgot))
    return made.model_copy(update={"recogniser_share": 0.75})


BETTER, NO_BETTER = judgement(0.1, 0.5), judgement(0.5, 0.5)
KEPT, FORGOT = judgement(0.05, 0.05, 0.05), judgement(0.2, 0.05, 0.05)


@pytest.mark.parametrize(
    ("found", "promote", "told"),
    [
        (recognising(NO_BETTER, KEPT, (0.1, None)), True, "promoted for its recogniser alone"),
        (recognising(NO_BETTER, KEPT, (0.1, 0.5)), True, "10.0 % word error .* .current 50.0 %"),
        (recognising(BETTER, KEPT, (0.1, 0.5)), True, "promoted: 10.0 %.*its recogniser alone"),
        (recognising(BETTER, KEPT, (0.5, 0.5)), True, "its recogniser alone: refused: no better"),
        (recognising(NO_BETTER, KEPT, (0.5, 0.5)), False, "no better .*its recogniser alone"),
        (recognising(NO_BETTER, FORGOT, (0.1, 0.5)), False, "it forgot too much"),
        (
            recognising(BETTER, KEPT, (0.1, 0.5), (0.2, 0.05)),
            False,
            "its recogniser alone: refused: it forgot too much",
        ),
        (recognising(NO_BETTER, KEPT, (inf, 0.5)), False, "no better"),
    ],
)
def test_a_recogniser_is_judged_beside_the_aligned_route(
    found: Card, promote: bool, told: str
) -> None:
    judged_so = verdict(found)
    assert judged_so.promote == promote
    assert re.search(told, judged_so.reason)


def test_a_recogniser_without_a_projector_is_judged_once() -> None:
    better = recognising(BETTER, KEPT, (0.1, 0.5), (0.05, 0.05))
    alone = better.model_copy(update={"files": {"recogniser.safetensors": "sum"}})
    found = verdict(alone)
    assert found.promote
    assert found.reason.startswith("promoted: 10.0 %")
    assert "alone" not in found.reason
    forgot = recognising(BETTER, FORGOT, (0.1, 0.5), (0.2, 0.05))
    assert not verdict(forgot.model_copy(update={"files": alone.files})).promote


def test_a_recogniser_that_hears_half_of_the_words_makes_up_for_the_aligned_route() -> None:
    hopeless = judgement(0.7, 0.9)
    assert not verdict(card(hopeless, KEPT)).promote
    assert verdict(recognising(hopeless, KEPT, (0.1, 0.6))).promote
    assert not verdict(recognising(hopeless, KEPT, (0.6, 0.9))).promote


def test_a_route_has_to_beat_the_recogniser() -> None:
    """The cascade goes through the generation's recogniser, so that is what it is compared with."""
    alone = card(judgement(0.10, 0.5))
    assert earned_route(alone)[0] == "aligned"
    beside = card(with_recogniser(judgement(0.10, 0.5), 0.02, 0.5))
    assert earned_route(beside)[0] == "cascade"
    assert "cascade 2.0 %" in earned_route(beside)[1]
    assert when_unsure(beside) == "cascade"
    assert when_unsure(card(judgement(0.10, 0.5))) == "ask"
    # as the current generation, on the card of one that was trained from it
    later = card(with_recogniser(judgement(0.3, 0.10), 0.5, 0.02))
    assert earned_route(alone, [later])[0] == "cascade"
