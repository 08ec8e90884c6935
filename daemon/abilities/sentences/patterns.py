"""Pieces of patterns for sentences. Pure."""


def any_of(words: str) -> str:
    """Return a pattern for any of `words`, which are patterns with spaces between them."""
    return "|".join(words.split())
