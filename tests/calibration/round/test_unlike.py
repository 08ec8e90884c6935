"""What a recogniser is judged by has words, and ways to begin, that it never learnt."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.evaluation.text_scores import normalise
from calibration.round.unlike import LEAST_EXAMPLES, LEFT_OUT_SHARE, split_unlike
from engines.jobs.messages import Example, Origin

ROOMS = "kitchen bedroom hallway garage office bathroom garden attic".split()
THINGS = "bread milk eggs coffee apples cheese tea sugar butter rice".split()


def examples(texts: list[str], origin: Origin = "enrolled") -> list[Example]:
    return [
        Example(id=str(number), audio=Path("a.wav"), text=text, origin=origin)
        for number, text in enumerate(texts)
    ]


TEMPLATES = examples(
    [f"Turn on the {room} light." for room in ROOMS]
    + [f"Add {thing} to my list." for thing in THINGS]
    + [f"Is there {thing} in the {room}?" for thing in THINGS for room in ROOMS]
    + [f"Call {name}." for name in "Susan Robert Karen Michael".split()]
)


def test_some_words_are_never_learnt() -> None:
    learnt, judged = split_unlike(TEMPLATES)
    assert len(learnt) + len(judged) == len(TEMPLATES)
    assert 0.04 * len(TEMPLATES) <= len(judged) <= LEFT_OUT_SHARE * len(TEMPLATES) + 1
    known = {word for example in learnt for word in normalise(example.text).split()}
    assert all(
        set(normalise(example.text).split()) - known
        or not any(
            normalise(other.text).split()[:2] == normalise(example.text).split()[:2]
            for other in learnt
        )
        for example in judged
    )


def test_most_of_it_stays_the_same_while_others_are_added() -> None:
    before = {example.id for example in split_unlike(TEMPLATES)[1]}
    more = TEMPLATES + examples([f"What is {number} plus two?" for number in range(10)])
    after = {example.id for example in split_unlike(more)[1]}
    assert len(before & after) >= 0.6 * len(before)


def test_what_the_recogniser_wrote_judges_nothing() -> None:
    learnt, judged = split_unlike(examples([one.text for one in TEMPLATES], "recognised"))
    assert (len(learnt), judged) == (len(TEMPLATES), [])
    mixed = [
        one.model_copy(update={"origin": "recognised" if number % 2 else "corrected"})
        for number, one in enumerate(TEMPLATES)
    ]
    learnt, judged = split_unlike(mixed)
    assert judged
    assert all(example.confirmed for example in judged)
    of_all, _ = split_unlike(TEMPLATES)
    assert len(learnt) >= len(of_all), "no more is left out than if all were confirmed"


@given(st.lists(st.text("abc ", max_size=12), max_size=60))
def test_each_is_on_one_side(texts: list[str]) -> None:
    given_examples = examples(texts)
    learnt, judged = split_unlike(given_examples)
    together = sorted([*learnt, *judged], key=lambda example: int(example.id))
    assert together == given_examples
    assert len(judged) <= LEFT_OUT_SHARE * len(texts) + 1
    if len(texts) < LEAST_EXAMPLES:
        assert not judged


@pytest.mark.parametrize("texts", [[], ["Stop."] * 40])
def test_one_sentence_again_and_again_is_learnt(texts: list[str]) -> None:
    learnt, judged = split_unlike(examples(texts))
    assert (len(learnt), judged) == (len(texts), [])
