"""Small talk where the language model is too weak for it: short, true, and never out of place."""

import pytest

from daemon.abilities.sentences.small_talk import small_talk


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ("Good morning!", "Good morning."),
        ("Good morning, how are you?", "I am well, thank you. And you?"),
        ("Hello there", "Hello."),
        ("Hi, Attune", "Hello."),
        ("Thank you, you are great.", "You are welcome."),
        ("You're such a good friend", "Thank you, that is kind of you."),
        ("I am feeling sad today.", "I am sorry to hear that."),
        ("I feel a bit lonely", "I am sorry to hear that."),
        ("Are you a robot?", "I am a program on this device."),
        ("Good night", "Good night."),
        ("Tell me a joke", "What did the timer say"),
        ("You are useless", "I am sorry."),
        ("Do you like dogs?", "I am a program"),
        ("I'm fine", "I am glad."),
        ("Happy Christmas", "The same to you."),
    ],
)
def test_small_talk_gets_a_short_true_reply(said: str, reply: str) -> None:
    found = small_talk(said)
    assert found is not None
    assert found.startswith(reply)


@pytest.mark.parametrize(
    "said",
    ["", "The roses are in bloom", "My sister came by", "I read a book about the war", "Hi-fi"],
)
def test_other_sentences_are_left_to_the_language_model(said: str) -> None:
    assert small_talk(said) is None
