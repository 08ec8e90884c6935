"""What is said of a text: no marks of layout, and everything short written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.voices.spoken_text import spoken, without_marks


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**Sure!** Here is `code` and _this_ thing.", "Sure! Here is code and this thing."),
        ("# Title\n- one\n- two", "Title. one. two"),
        ("See [the page](https://a.b/c).", "See the page."),
        ("Look at https://www.example.org/a?b=c. Then go.", "Look at example.org. Then go."),
        ("> quoted\n---\nnot", "quoted. not"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("Wait!!!! What???", "Wait! What?"),
        ("🙂 ok 👍🏽", "ok"),
        ("It is 7:30 pm.", "It is seven thirty P.M."),
        ("10:05", "ten oh five"),
        ("It has 20°C and 5km.", "It has 20 degrees Celsius and 5 kilometers."),
        ("Dr. Smith vs. me", "Dr Smith versus me"),
        ("It costs $5.20.", "It costs five dollars and twenty cents."),
        ("£1 or €3 million", "one pound sterling or 3 million euros"),
        ("2 * 3 = 6", "2 times 3 equals 6"),
        ("hello there", "hello there"),
        ("C++ and snake_case", "C++ and snake case"),
    ],
)
def test_what_is_said_of_a_text(written: str, said: str) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize("written", ["", " \n", "***", "...", "🙂🙂", "```\n```", "|---|", "\x00"])
def test_nothing_is_said_of_symbols(written: str) -> None:
    assert spoken(written) == ""
    assert without_marks(written) == ""


def test_words_of_other_languages_stay() -> None:
    assert without_marks("**Schöne Grüße!**\n1. Käse") == "Schöne Grüße! 1, Käse"


@given(st.text(max_size=300))
def test_any_text_becomes_one_line(written: str) -> None:
    said = spoken(written)
    assert said == " ".join(said.split())
    assert not said or any(letter.isalnum() for letter in said)


@given(st.lists(st.sampled_from("the light is on and warm today".split()), min_size=1, max_size=9))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    assert spoken(" ".join(words)) == " ".join(words)
