"""Conversions, against the factors of the international system."""

from pathlib import Path

import pytest

from tests.support.ability_world import AbilityWorld


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("convert five miles to kilometres", "5 miles is about 8.047 kilometres."),
        ("what is 100 degrees fahrenheit in celsius", "about 37.78 celsius."),
        ("how many grams are in two kilos", "is 2000 grams."),
        ("how many minutes are there in two and a half hours", "is 150 minutes."),
        ("a quarter of a litre is how many millilitres", "is 250 millilitres."),
        ("how many millimetres are in 20 metres", "is 20,000 millimetres."),
        ("what is minus 40 degrees celsius in fahrenheit", "is -40 fahrenheit."),
        ("how many kilograms in three metres", "cannot be told in kilograms."),
    ],
)
def test_units_are_converted(tmp_path: Path, said: str, told: str) -> None:
    world = AbilityWorld(tmp_path)
    outcome = world.say(said)
    world.close()
    assert outcome.ability == "units"
    assert outcome.reply.endswith(told)
