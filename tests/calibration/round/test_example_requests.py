"""Which requests show how a user speaks."""

from calibration.round.example_requests import telling_requests


def test_every_kind_comes_before_the_second_of_a_kind() -> None:
    texts = [
        *(f"Set a timer for {minutes} minutes." for minutes in range(5, 60)),
        "Call Robert, please.",
        "Is it raining?",
    ]
    assert set(telling_requests(texts, 3)) == {texts[0], "Call Robert, please.", "Is it raining?"}
    assert texts[1] not in telling_requests([*texts, "Play jazz in the garden.", "Stop."], 5)


def test_words_that_are_all_shown_come_again_and_no_request_twice() -> None:
    texts = ["Play jazz.", "Play jazz.", "Play rock.", "Play", "  ", "x" * 200]
    assert telling_requests(texts) == ("Play jazz.", "Play rock.", "Play")
    assert telling_requests([]) == ()
