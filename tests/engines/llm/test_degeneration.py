"""Loops and what is no text are found; prose, lists and short refrains are left alone."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.llm.degeneration import (
    CYCLE_COPIES,
    CYCLE_TOKENS,
    SAME_LINES,
    cycles,
    is_spelled_in_bytes,
    is_text,
    printable,
    repeats_lines,
    without_cycle,
)

PROSE = """The fjord lay still in the morning, and the boats that had come in overnight were
being unloaded by men who did not speak. A fjord is a long, narrow inlet of the sea between high
cliffs, made by a glacier that cut a valley and then melted. There are fjords in Norway, in
Chile, in New Zealand and in Alaska; the deepest of them goes down more than a thousand metres."""

LISTS = (
    "\n".join(
        f"{number}. Take the {thing} out of the box."
        for number, thing in enumerate(("lid", "cup", "spoon", "pot", "bag"), 1)
    ),
    "\n".join(f"{number} x 7 = {7 * number}" for number in range(1, 31)),
    "\n".join(str(number) for number in range(1, 60)),
    (
        "Monday: rain\nTuesday: rain\nWednesday: rain\nThursday: sun\nFriday: rain\nSaturday:"
        " rain\nSunday: sun\n"
    ),
)
REFRAINS = (
    "no, no, no, no, no, no!",
    (
        "We wish you a merry Christmas, we wish you a merry Christmas, we wish you a merry"
        " Christmas and a happy new year."
    ),
    (
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life"
        " is but a dream."
    ),
    "La la la la, la la la la.",
)


def as_tokens(text: str) -> list[int]:
    """A token a word, mark or line end, as tokenizers have it."""
    words = text.replace("\n", " \n ").replace(",", " ,").replace(".", " .").split(" ")
    numbers: dict[str, int] = {}
    return [numbers.setdefault(word, len(numbers)) for word in words]


def first_cycle(tokens: list[int]) -> int | None:
    """How many tokens had been written when a cycle was found."""
    return next((length for length in range(len(tokens) + 1) if cycles(tokens[:length])), None)


@given(
    st.lists(st.integers(0, 5), max_size=60), st.lists(st.integers(0, 5), min_size=1, max_size=40)
)
def test_a_true_cycle_is_found_within_a_bounded_number_of_tokens(
    before: list[int], block: list[int]
) -> None:
    bound = max(CYCLE_TOKENS, CYCLE_COPIES * len(block))
    found = first_cycle(before + (block * (bound // len(block) + 2))[:bound])
    assert found is not None
    assert found <= len(before) + bound


@given(st.lists(st.integers(0, 3), max_size=80))
def test_what_is_found_is_a_cycle(tokens: list[int]) -> None:
    """By the definition, written down without the shortcuts."""
    expected = any(
        len(tokens) >= (covered := max(CYCLE_TOKENS, CYCLE_COPIES * period))
        and all(
            tokens[-place] == tokens[-place - period] for place in range(1, covered - period + 1)
        )
        for period in range(1, len(tokens) + 1)
    )
    assert cycles(tokens) is expected


@given(st.integers(0, 10**6), st.integers(40, 400))
@settings(max_examples=30)
def test_random_words_are_no_cycle(seed: int, count: int) -> None:
    draw = random.Random(seed)
    assert first_cycle([draw.randrange(200) for _ in range(count)]) is None


@pytest.mark.parametrize("text", [PROSE, *LISTS, *REFRAINS])
def test_prose_lists_and_refrains_are_no_loop(text: str) -> None:
    for length in range(len(text) + 1):
        assert not repeats_lines(text[:length])
    assert first_cycle(as_tokens(text)) is None


@given(st.sampled_from([PROSE, *LISTS]), st.integers(0, 200))
@settings(max_examples=30)
def test_prose_said_twice_is_no_loop_and_three_times_is(text: str, cut: int) -> None:
    tokens = as_tokens(text[cut:])
    if len(tokens) * CYCLE_COPIES >= CYCLE_TOKENS and first_cycle(tokens) is None:
        assert first_cycle(tokens * 2) is None or len(tokens) < CYCLE_TOKENS
        assert first_cycle(tokens * 3) is not None


@given(
    st.text("abcdefghij klmno", min_size=25, max_size=80).filter(
        lambda text: sum(map(str.isalpha, text)) >= 20
    )
)
def test_lines_that_differ_in_their_numbers_alone_are_a_loop(line: str) -> None:
    text = "Here is a list:\n" + "".join(
        f"{number}. {line}\n" for number in range(1, SAME_LINES + 1)
    )
    assert repeats_lines(text)
    assert not repeats_lines(text[:-1]), "the last line may go on in another way"
    assert not repeats_lines(text.replace("2. ", "2. not "))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            ("Yes.", True),
            ("7", True),
            ("Привет", True),
            ("", False),
            (" \n", False),
            ("?!...", False),
            ("😀🎉", False),
        ),
        *(
            ("\ufffd\ufffd\ufffda", False),
            ("A long enough sentence with one \ufffd in it.", True),
            ("\u200b", False),
        ),
    ],
)
def test_what_is_a_text(text: str, expected: bool) -> None:
    assert is_text(text) is expected


@given(st.text())
def test_nothing_that_commands_a_terminal_is_printed(text: str) -> None:
    assert not any(
        (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in printable(text)
    )
    assert printable("né 🎉\n\tß") == "né 🎉\n\tß"


def test_a_writing_that_is_spelled_in_bytes() -> None:
    assert is_spelled_in_bytes([b"\xf0\x9f", b"\x98", b"\x80"])
    assert is_spelled_in_bytes(["م".encode(), b" \xd9", b"\x83", b" \xd8", b"\xad"])
    assert not is_spelled_in_bytes([b"What", b" is", b" it", b"?"])
    assert not is_spelled_in_bytes([b"a", b" ", b"b", b" ", b"1", b"2"]), "a character a token"
    assert not is_spelled_in_bytes(["你好".encode(), "吗".encode()])
    assert not is_spelled_in_bytes([])


@given(
    st.lists(st.integers(0, 5), max_size=20),
    st.lists(st.integers(6, 9), min_size=1, max_size=12),
    st.integers(0, 60),
)
def test_a_cycle_at_the_end_is_said_once(before: list[int], block: list[int], copies: int) -> None:
    tokens = before + block * copies
    once = without_cycle(tokens)
    assert once == tokens[: len(once)]
    assert not cycles(once) or once == tokens
    if cycles(tokens):
        assert len(before) < len(once) <= len(before) + len(block)
    else:
        assert once == tokens
