"""Who is served, asked and told by words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ability_world import AbilityWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AbilityWorld]:
    made = AbilityWorld(tmp_path)
    yield made
    made.close()


def test_who_has_no_name_is_told_so(world: AbilityWorld) -> None:
    assert world.say("who am I").reply == "I serve one user, who has not told me a name."
    assert world.say("who uses you").reply == "I serve one user, who has not told me a name."
    assert world.say("this is Ben").ability != "users"


@pytest.mark.parametrize(
    "text",
    [
        "This is Ben.",
        "I am Ben",
        "It is Ben speaking",
        "Ben is talking",
        "switch to Ben please",
    ],
)
def test_who_is_named_is_served(world: AbilityWorld, text: str) -> None:
    world.users.rename(world.users.served.id, "Ann")
    world.users.add("Ben")
    assert world.say(text).reply == "Hello Ben."
    assert world.users.served.name == "Ben"
    assert world.say(text).reply == "Yes, I take you for Ben."
    assert world.say("Who is speaking?").reply == "I take you for Ben."
    assert world.say("who uses you").reply == "I know Ann and Ben."


@pytest.mark.parametrize(
    "text", ["this is nice", "I am tired", "talk to my mother", "it is late now", "call Ben"]
)
def test_other_sentences_serve_nobody_else(world: AbilityWorld, text: str) -> None:
    world.users.rename(world.users.served.id, "Ann")
    world.users.add("Ben")
    assert world.say(text).ability != "users"
    assert world.users.served.name == "Ann"
