"""Requests to a voice assistant from templates and word lists: requests to enrol, and others with
words that are never enrolled.

They are ordinary words: a base projector may have met each of them, in other voices
(`corpus/training_requests.py` has most of them, too). A word that is never enrolled was never heard
in the user's voice.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Templates, and the words that fill them."""

    templates: tuple[str, ...]
    rooms: tuple[str, ...]
    people: tuple[str, ...]
    things: tuple[str, ...]
    topics: tuple[str, ...]


_ENROLLED_TEMPLATES = """\
Turn on the {room} light.
Turn off the lights in the {room}.
Set a timer for {minutes} minutes.
Call {person}, please.
Send a message to {person} that I will be late.
Add {thing} and {other} to my shopping list.
Remind me to take my pills at {hour} o'clock.
What is the temperature in the {room}?
Set the {room} to {degrees} degrees.
Read me the news about {topic}.
Play the radio in the {room}.
When is my appointment with {person}?
Close the curtains in the {room}.
Tell {person} I am going to the shop.
How do I cook {thing} with {other}?
"""
_NEVER_ENROLLED_TEMPLATES = """\
Turn on the {room} light.
Turn off the lights in the {room}.
Call {person}, please.
Add {thing} and {other} to my shopping list.
What is the temperature in the {room}?
Play the radio in the {room}.
When is my appointment with {person}?
Read me the news about {topic}.
Tell {person} I am going to the shop.
How do I cook {thing} with {other}?
Open the window in the {room}.
Dim the lamp in the {room}.
Order some {thing} for {person}.
Invite {person} to dinner.
Clean the {room} tomorrow.
Ask {person} to buy {thing}.
Find a recipe for {thing} and {other}.
Write down that {person} borrowed the ladder.
"""

ENROLLED = Words(
    tuple(_ENROLLED_TEMPLATES.splitlines()),
    tuple("kitchen,bedroom,living room,hallway,garage,office,bathroom,garden".split(",")),
    tuple("Susan,Michael,my sister,Doctor Green,Robert,Grandma,the neighbour,Karen".split(",")),
    tuple("bread,milk,eggs,coffee,apples,cheese,tea,sugar,butter,rice".split(",")),
    tuple("sports,science,politics,music".split(",")),
)
NEVER_ENROLLED = Words(
    tuple(_NEVER_ENROLLED_TEMPLATES.splitlines()),
    tuple("basement,attic,nursery,library,porch,studio,corridor,balcony".split(",")),
    tuple(
        "Edward,Patricia,my brother,Doctor White,Angela,Uncle Bob,the landlord,Steven".split(",")
    ),
    tuple("flour,onions,chicken,soup,pasta,honey,lemons,yogurt,carrots,salt".split(",")),
    tuple("football,medicine,farming,travel".split(",")),
)
"""Words of which every room, person, thing and topic, and in half of the templates the verb too, is
missing in ENROLLED."""


def everyday_requests(count: int, words: Words, rng: random.Random) -> list[str]:
    """`count` different requests, in random order."""
    made: dict[str, None] = {}
    while len(made) < count:
        thing, other = rng.sample(words.things, 2)
        made[
            rng.choice(words.templates).format(
                room=rng.choice(words.rooms),
                person=rng.choice(words.people),
                thing=thing,
                other=other,
                topic=rng.choice(words.topics),
                minutes=rng.randint(2, 59),
                hour=rng.randint(1, 12),
                degrees=rng.randint(15, 25),
            )
        ] = None
    return list(made)
