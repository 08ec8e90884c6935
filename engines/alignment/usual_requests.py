"""The requests that are shown to the language model before it scores a sentence as the next one:
the user's own, and usual ones beside them."""

from collections.abc import Sequence

from ..llm.vocabulary import Vocabulary
from .text_normalisation import spoken_tokens

USUAL_REQUESTS = (
    "Remind me to water the plants at seven.",
    "What will the weather be like on Friday?",
    "Wake me at half past six.",
    "How far is it to the moon?",
    "Play some quiet piano music.",
    "Who wrote this song?",
    "Tell me a joke about penguins.",
    "Make it a bit warmer in here.",
    "Where did I leave my keys?",
    "Send a message to Laura that I will be late.",
    "Stop the music, please.",
    "What does this word mean?",
    "Put the meeting with Daniel on Monday morning.",
    "How many grams are in an ounce?",
    "Can you read that again more slowly?",
    "Is the front door locked?",
)
"""Examples of requests, for a language model that would otherwise expect an essay."""


def requests_before(own: Sequence[str], vocabulary: Vocabulary) -> list[list[int]]:
    """The spoken tokens of the user's `own` requests, filled up with usual ones to the number of
    USUAL_REQUESTS where they are fewer."""
    requests = [*own, *USUAL_REQUESTS][: max(len(own), len(USUAL_REQUESTS))]
    return [spoken_tokens(request, vocabulary) for request in requests]
