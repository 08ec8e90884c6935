"""Numbers as they are said, and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.alignment.number_normalisation import numbers_in_digits, numbers_in_words


@pytest.mark.parametrize(
    ("written", "said", "back"),
    [
        ("Set a timer for 22 minutes.", "Set a timer for twenty two minutes.", None),
        ("Press 8.", "Press eight.", None),
        ("Press 2.", "Press two.", "Press two."),
        ("Wake me at 7:30 tonight.", "Wake me at seven thirty tonight.", None),
        ("It is 10:05, you know.", "It is ten oh five, you know.", None),
        ("It is 19:00.", "It is nineteen.", "It is 19."),
        ("In 1999 and 2005.", "In nineteen ninety nine and two thousand five.", None),
        ("1,250 people", "one thousand two hundred fifty people", "1250 people"),
        ("1,000,000 bees", "one million bees", "1000000 bees"),
        ("call 5551234", "call five five five one two three four", "call 5 5 5 1 2 3 4"),
        ("$5 at 50%", "five dollars at fifty percent", "5 dollars at 50 percent"),
        ("21 °C or 70°", "twenty one degrees or seventy degrees", "21 degrees or 70 degrees"),
        ("the 21st of March", "the twenty first of March", None),
        ("3.5 litres", "three point five litres", None),
        ("10-15 minutes", "ten to fifteen minutes", "10 to 15 minutes"),
        ("-5 degrees", "minus five degrees", "minus 5 degrees"),
        ("555-1234", "five five five one two three four", "5 5 5 1 2 3 4"),
        ("007", "zero zero seven", None),
        ("What is 65 plus 25?", "What is sixty five plus twenty five?", None),
        ("I have one more second.", "I have one more second.", None),
    ],
)
def test_numbers_are_said_and_written_again(written: str, said: str, back: str | None) -> None:
    assert numbers_in_words(written) == said
    assert numbers_in_digits(said) == (back or written)


@pytest.mark.parametrize(
    "text", ["Play the MP3.", "192.168.1.1", "B12", "covid-19", "1-2-3-4", "v1.2.3", "1:2:3"]
)
def test_what_is_no_number_by_itself_stays(text: str) -> None:
    assert numbers_in_words(text) == text


@pytest.mark.parametrize(
    "text", ["9" * 310 + "st", "9" * 400 + ".5", "9" * 5000, "1" + ",000" * 2000]
)
def test_numbers_longer_than_anybody_says_are_read_out(text: str) -> None:
    assert not re.search(r"\d", numbers_in_words(text))


@given(st.integers(4, 999))
def test_numbers_of_everyday_requests_survive(number: int) -> None:
    text = f"Set it to {number} degrees."
    assert numbers_in_digits(numbers_in_words(text)) == text


@given(st.text(alphabet="017 ,.:-%$°thsd\n", max_size=30))
def test_any_text_can_be_said(text: str) -> None:
    said = numbers_in_words(text)
    assert numbers_in_words(said) == said
    assert re.sub(r"[\d\W]", "", text) or not re.fullmatch(r"\d+", said)
    numbers_in_digits(said)
