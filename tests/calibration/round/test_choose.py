"""How much of what a recogniser learnt is kept: what helps the user and forgets little."""

import pytest

from calibration.round.choose import Heard, choose

BEFORE = Heard(own=0.60, general=0.05)


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ({1.0: Heard(0.2, 0.05), 0.5: Heard(0.3, 0.05)}, 1.0),
        ({1.0: Heard(0.2, 0.07), 0.5: Heard(0.3, 0.06)}, 0.5),  # 1.0 forgot two points
        ({1.0: Heard(0.2, 0.05), 0.5: Heard(0.2, 0.05)}, 0.5),  # of equals the smallest
        ({1.0: Heard(0.2, float("nan")), 0.5: Heard(0.5, 0.05)}, 0.5),
    ],
)
def test_the_share_that_helps_most(found: dict[float, Heard], share: float) -> None:
    chosen = choose(BEFORE, found)
    assert (chosen.share, chosen.left_out) == (share, "")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({1.0: Heard(0.1, 0.20), 0.5: Heard(0.2, 0.10)}, r"forgot too much: 10\.0 % .*was 5\.0 %"),
        ({1.0: Heard(0.6, 0.05), 0.5: Heard(0.7, 0.05)}, r"no better: 60\.0 % .*was 60\.0 %"),
        ({1.0: Heard(float("nan"), 0.05)}, "no better"),
    ],
)
def test_what_does_not_help_is_left_out(found: dict[float, Heard], why: str) -> None:
    import re

    chosen = choose(BEFORE, found)
    assert chosen.share is None
    assert re.search(why, chosen.left_out)
