"""Word error rate and ROUGE: against values counted by hand."""

import pytest

from calibration.evaluation.text_scores import (
    content_errors,
    content_words,
    rouge,
    rouge_l,
    word_error_rate,
    word_errors,
)


@pytest.mark.parametrize(
    ("label", "heard", "expected"),
    [
        ("Turn on the light.", "turn on the light", (0, 4)),
        ("Turn on the light.", "turn off the light", (1, 4)),
        ("Turn on the light.", "", (4, 4)),
        ("Call Doctor Green, please.", "Call Dr. Green please", (0, 4)),
        ("Set a timer for twenty minutes.", "Set a timer for 20 minutes", (0, 6)),
        ("Stop.", "stop stop stop", (2, 1)),
        ("", "anything", (1, 0)),
    ],
)
def test_word_errors(label: str, heard: str, expected: tuple[int, int]) -> None:
    assert word_errors(label, heard) == expected


def test_word_error_rate_weighs_words_not_utterances() -> None:
    rate, words = word_error_rate(
        [("one two three four five six", "one two three four five six"), ("seven", "no")]
    )
    assert words > 0
    assert rate == pytest.approx(1 / words)


def test_nothing_to_say_is_no_error() -> None:
    assert word_error_rate([]) == (0.0, 0)


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    # precision 3/4, recall 3/5: F = 2 * 0.75 * 0.6 / 1.35
    assert rouge_l("the cat sat down quietly", "the cat lay down") == pytest.approx(2 / 3)
    assert rouge_l("same words", "Same words!") == 1.0
    assert rouge_l("", "") == 1.0
    assert rouge_l("something", "") == 0.0


def test_rouge_1_counts_words_wherever_they_stand() -> None:
    # unigrams: precision 3/4, recall 3/5; longest common subsequence: "cat sat", 2/4 and 2/5
    assert rouge("the cat sat down quietly", "down cat sat here") == pytest.approx((2 / 3, 4 / 9))
    assert rouge("", "") == (1.0, 1.0)


@pytest.mark.parametrize(
    ("label", "heard", "expected"),
    [
        ("Call Patricia, please.", "Call Robert please", (1, 2)),
        ("Turn off the lights.", "Turn on the lights", (0, 2)),  # a particle carries no content
        ("Turn off the lights.", "Turn off the big lights", (1, 2)),
        ("Turn off the lights.", "", (2, 2)),
        ("", "big lights", (2, 0)),
    ],
)
def test_content_errors(label: str, heard: str, expected: tuple[int, int]) -> None:
    assert content_errors(label, heard) == expected


def test_content_words_are_written_as_they_stand_each_once() -> None:
    texts = ["Call Siobhan, please!", "Is it twenty-one degrees?", "Call the 'plumber'. I'll wait."]
    assert content_words(texts) == [
        "Call",
        "Siobhan",
        "twenty-one",
        "degrees",
        "plumber",
        "wait",
    ]
    assert content_words(["", "the of and"]) == []
