"""Requests to an assistant, from templates: with names, numbers, times and places, or any everyday
words. Knows no audio."""

import random
import re

from .word_classes import WordClasses

_NAMES = (
    "Alice Amanda Andrew Anna Anthony Barbara Ben Carol Charles Chris Daniel David Diana Emily Emma"
    " Eric Frank George Grace Hannah Helen Henry Jack James Jane Jennifer Jessica John Joseph Julia"
    " Karen Kevin Laura Linda Lisa Mark Martin Mary Matthew Michael Nancy Nicole Oliver Patricia"
    " Paul Peter Rachel Richard Robert Ruth Sam Sandra Sarah Simon Stephen Susan Thomas Tom"
    " Victoria Walter William"
).split()
_RELATIONS = [
    "my mother",
    "my father",
    "my sister",
    "my brother",
    "the doctor",
    "Grandma",
    "the neighbour",
    "my boss",
    "Uncle Bob",
]
_ROOMS = (
    "kitchen,bedroom,living"
    " room,hallway,garage,office,bathroom,garden,basement,attic,nursery,library,porch,dining"
    " room,balcony"
).split(",")
_DEVICES = (
    "light,lamp,fan,heater,television,radio,speaker,air"
    " conditioning,oven,door,window,alarm,curtains,blinds".split(",")
)
_ITEMS = (
    "bread,milk,eggs,coffee,apples,cheese,tea,sugar,butter,rice,flour,onions,chicken,soup,pasta,honey,lemons,yogurt,carrots,salt,pepper,potatoes,bananas,fish,tomatoes,orange"
    " juice,toilet paper,soap,batteries,cat food"
).split(",")
_CITIES = (
    "Paris,London,Boston,Tokyo,Berlin,Rome,Chicago,Madrid,Sydney,Dublin,Toronto,New"
    " York,Seattle,Oslo".split(",")
)
_TOPICS = (
    "sports,science,politics,music,history,cooking,space,animals,technology,the"
    " weather,football,art,business".split(",")
)
_TASKS = (
    "take my pills,call my mother,water the plants,buy milk,feed the cat,walk the dog,pay the"
    " rent,charge my phone,do the laundry,book a table,pick up the children,clean the kitchen,check"
    " the mail,go to the dentist,take out the trash"
).split(",")
_DAYS = (
    "today,tomorrow,tonight,on Monday,on Tuesday,on Wednesday,on Thursday,on Friday,on Saturday,on"
    " Sunday,next week"
).split(",")
_TEMPLATES = (
    "Turn on the {device} in the {room}.|Turn off the {room} {device}.|Switch the {device} off.|Is"
    " the {device} in the {room} on?|Open the {device} in the {room}.|Close the {room}"
    " {device}.|Set a timer for {minutes} minutes.|Wake me up at {hour} {day}.|Set an alarm for"
    " {hour} o'clock.|Cancel my alarm for {day}.|What time is it in {city}?|How is the weather in"
    " {city} {day}?|Will it rain in {city} {day}?|Call {name}.|Please call {name} {day}.|Send a"
    " message to {name} that I will be late.|Tell {name} that dinner is at {hour}.|Read my messages"
    " from {name}.|Remind me to {task} at {hour} o'clock.|Remind me to {task} {day}.|Add {item} to"
    " my shopping list.|Do we have {item} and {item}?|How do I cook {item} with {item}?|Play some"
    " music in the {room}.|Make the {room} warmer.|Set the {room} to {degrees} degrees.|What is the"
    " news about {topic}?|Tell me something about {topic}.|When is my appointment with {name}?|What"
    " is {minutes} plus {degrees}?|How far is it from {city} to {city}?|Who is {name}?|Where are my"
    " keys?|Stop.|Thank you.|Say that again, please.|Turn the volume {updown}.|What is on my"
    " calendar {day}?|Find a restaurant in {city}.|Did I {task} {day}?"
).split("|")
_OPEN_TEMPLATES = (
    "Where did I leave the {thing}?|Put the {thing} on the {thing}.|Add {food} and {food} to my"
    " shopping list.|Add {food} to the list.|How long do I cook {food}?|Find a recipe for {food}"
    " and {food}.|Order some {food} for {name}.|Buy {food}, {food} and {food}.|Is there any {food}"
    " left in the {thing}?|Call {name}.|Call {name} and then {name}, please.|Invite {name} to the"
    " {thing}.|Ask {name} to {verb} the {thing}.|Tell {name} to bring the {thing}.|Send the {thing}"
    " to {name} in {name}.|Write down that {name} has the {thing}.|Read me the news about"
    " {topic}.|What is {topic}?|Tell me about the {animal} and the {plant}.|What does a {animal}"
    " eat?|Open the {thing} in the {thing}.|Turn on the {thing} in the {room}.|Clean the {thing}"
    " and the {thing}.|Please {verb} the {thing} {day}.|Do not {verb} the {thing}.|Remind me to"
    " {verb} the {thing} {day}.|My {body} hurts.|Show me the {thing}.|The {person} wants the"
    " {thing}.|I want to {verb} the {thing}.|Did the {person} {verb} the {thing}?|When is my"
    " appointment with the {person}?|Play something by {name}.|Spell {thing}.|Is the {thing} in the"
    " {place}?|Find a {thing} near the {place}.|How far is the {place} from {name}?|Water the"
    " {plant}.|Feed the {animal}.|Look up {topic} and {topic}.|{verb} it, please.|{verb} and {verb}"
    " again.|Meet the {person} at the {place}.|Dim the {thing}.|Take the {food} out of the"
    " {thing}.|Who is the {person}?|Search for {thing} and {thing}."
).split("|")


def requests(count: int, rng: random.Random) -> list[str]:
    """`count` different requests to an assistant, made from templates."""
    made: dict[str, None] = {}
    while len(made) < count:
        person = rng.choice(_NAMES + _RELATIONS)
        made[
            rng.choice(_TEMPLATES).format(
                device=rng.choice(_DEVICES),
                room=rng.choice(_ROOMS),
                minutes=rng.randint(1, 90),
                hour=rng.randint(1, 12),
                day=rng.choice(_DAYS),
                city=rng.choice(_CITIES),
                name=person,
                task=rng.choice(_TASKS),
                item=rng.choice(_ITEMS),
                degrees=rng.randint(10, 30),
                topic=rng.choice(_TOPICS),
                updown=rng.choice(["up", "down"]),
            )
        ] = None
    return list(made)


def open_requests(count: int, classes: WordClasses, rng: random.Random) -> list[str]:
    """`count` requests with any words of `classes` in them, most of which occur only once."""
    return [_filled(rng.choice(_OPEN_TEMPLATES), classes, rng) for _ in range(count)]


def _filled(template: str, classes: WordClasses, rng: random.Random) -> str:
    def fill(slot: re.Match[str]) -> str:
        own = {"room": _ROOMS, "day": _DAYS}.get(slot[1])
        return rng.choice(own) if own else classes.draw(slot[1], rng)

    text = re.sub(r"\{(\w+)\}", fill, template)
    return text[0].upper() + text[1:]
