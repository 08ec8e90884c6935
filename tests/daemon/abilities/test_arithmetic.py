"""Sums in words: what they come to, and what is none."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.abilities.arithmetic import said_number, value_of
from daemon.abilities.keywords.sums import sum_wanted


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("12 times 7", "84"),
        ("two plus two", "4"),
        ("15 % of 80", "12"),
        ("100 divided by 8", "12.5"),
        ("square root of 144", "12"),
        ("2 to the power of 10", "1024"),
        ("3 squared plus 4 squared", "25"),
        ("half of 90", "45"),
        ("10 minus 3 minus 2", "5"),
        ("2 plus 3 times 4", "14"),
        ("minus 3 plus 5", "2"),
    ],
)
def test_sums_are_computed(said: str, value: str) -> None:
    assert value_of(said) == Decimal(value)


@pytest.mark.parametrize(
    "said", ["", "7", "80 percent", "milk", "plus", "2 plus", "2 milk 3", "( 2"]
)
def test_what_is_no_sum_is_none(said: str) -> None:
    assert value_of(said) is None


def test_nothing_is_divided_by_zero_and_nothing_grows_for_ever() -> None:
    with pytest.raises(ZeroDivisionError):
        value_of("5 divided by 0")
    for said in ("9 to the power of 999", "10 to the power of 10 to the power of 10"):
        with pytest.raises(OverflowError):
            value_of(said)


@given(
    st.lists(
        st.tuples(st.sampled_from("plus minus times".split()), st.integers(0, 99)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 99),
)
def test_sums_are_those_of_exact_arithmetic(rest: list[tuple[str, int]], first: int) -> None:
    said = " ".join([str(first), *(f"{sign} {number}" for sign, number in rest)])
    signs = {"plus": "+", "minus": "-", "times": "*"}
    exact = Fraction(eval(" ".join([str(first), *(f"{signs[s]} {n}" for s, n in rest)])))
    try:
        found = value_of(said)
    except OverflowError:
        return
    assert found is not None
    assert Fraction(found) == exact


def test_a_part_of_a_sum_is_no_answer() -> None:
    for said in ("how much is 5 plus 3 plus", "what is 2 times 3 divided"):
        assert sum_wanted(said, value_of) is None


def test_numbers_are_said_as_they_are_or_as_about() -> None:
    assert said_number(Decimal(1250)) == "1,250"
    assert said_number(Decimal("12.50")) == "12.5"
    assert said_number(Decimal(1) / Decimal(3)) == "about 0.333"
    assert said_number(Decimal("-4")) == "-4"
    assert said_number(Decimal("0.00004")) == "0.00004"
