"""What people might say to the abilities, and what has to come of it.

A large language model wrote `requests.jsonl`, in the part of different people and without having
seen a template (docs/experiments/053): `before` is what was said earlier, `says` what a right
answer contains. On a Monday, the 30th of November 2026, at 17:20 in Berlin.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ability_world import AbilityWorld

REQUESTS = [
    json.loads(line)
    for line in (Path(__file__).parent / "requests.jsonl").read_text("utf-8").splitlines()
]
ABILITIES = sorted({row["ability"] for row in REQUESTS})
LEAST_RIGHT = 0.98


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AbilityWorld]:
    found = AbilityWorld(tmp_path_factory.mktemp("world"))
    yield found
    found.close()


def test_there_are_enough_of_each_kind() -> None:
    assert len(REQUESTS) >= 300
    assert len({(row["say"], *row["before"]) for row in REQUESTS}) == len(REQUESTS)


def is_right(world: AbilityWorld, row: dict[str, Any]) -> str:
    """Empty if the outcome is right, else what it was."""
    world.begin_anew()
    for sentence in row["before"]:
        world.say(sentence)
    outcome = world.say(row["say"])
    told = all(part.lower() in outcome.reply.lower() for part in row["says"])
    if outcome.ability == row["ability"] and told:
        return ""
    return f"{row['say']!r}: {outcome.ability}: {outcome.reply!r}"


@pytest.mark.parametrize("ability", ABILITIES)
def test_requests_have_the_right_outcome(world: AbilityWorld, ability: str) -> None:
    rows = [row for row in REQUESTS if row["ability"] == ability]
    wrong = [found for row in rows if (found := is_right(world, row))]
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(rows), "\n".join(wrong)


def test_nothing_that_an_ability_knows_is_left_to_the_language_model(world: AbilityWorld) -> None:
    left = []
    for row in REQUESTS:
        if row["ability"] != "model":
            world.begin_anew()
            for sentence in row["before"]:
                world.say(sentence)
            if world.say(row["say"]).ability == "model":
                left.append(row["say"])
    assert left == []
