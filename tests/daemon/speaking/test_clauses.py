"""A reply is cut into clauses while it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.speaking.clauses import MOST_CHARACTERS, ClauseCutter


def cut(*pieces: str) -> list[str]:
    cutter = ClauseCutter()
    clauses = [clause for piece in pieces for clause in cutter.push(piece)]
    return clauses + cutter.flush()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("The light is on. The kettle is off.", ["The light is on.", "The kettle is off."]),
        # The first clause may end at a comma, later ones do not.
        (
            "Now the kitchen light is on, and the kettle is off, I think.",
            ["Now the kitchen light is on,", "and the kettle is off, I think."],
        ),
        ("Sure, it is on, now.", ["Sure, it is on,", "now."]),
        ("Well, yes. One, two, three, four, five.", ["Well, yes.", "One, two, three, four, five."]),
        (
            "Dr. Smith has 3.5 apples, e.g. red ones.",
            ["Dr. Smith has 3.5 apples,", "e.g. red ones."],
        ),
        ("1. First\n2. Second\n\nEnd", ["1. First", "2. Second", "End"]),
        ("Really?! Yes…", ["Really?!", "Yes…"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("no end", ["no end"]),
        ("", []),
        ("\n \n", []),
    ],
)
def test_clauses(text: str, clauses: list[str]) -> None:
    assert cut(text) == clauses
    assert cut(*text) == clauses, "pieces of one character"


def test_a_clause_is_given_as_soon_as_it_is_complete() -> None:
    cutter = ClauseCutter()
    assert cutter.push("The light is on.") == []  # it may be the dot of 3.5
    assert cutter.push(" The") == ["The light is on."]


@given(st.lists(st.text(alphabet="ab ,.\n1", max_size=40), max_size=20))
def test_nothing_is_lost_and_no_clause_is_too_long(pieces: list[str]) -> None:
    clauses = cut(*pieces)
    assert "".join("".join(clauses).split()) == "".join("".join(pieces).split())
    assert all(0 < len(clause) <= MOST_CHARACTERS for clause in clauses)


@given(st.integers(1, 3000))
def test_endless_words_are_cut(length: int) -> None:
    clauses = cut("x" * length)
    assert "".join(clauses) == "x" * length
    assert all(len(clause) <= MOST_CHARACTERS for clause in clauses)
