"""Sentences to be read aloud by somebody whose voice is to be learnt."""

from pathlib import Path

_FILE = Path(__file__).with_suffix(".txt")


def enrolment_prompts() -> list[str]:
    """Return English sentences of three to nine words: requests of many kinds, everyday talk, and
    sentences with rarer words and sounds. A language model wrote them."""
    return _FILE.read_text(encoding="utf-8").splitlines()
