"""English texts to speak, from Debian's packages: fortunes, WordNet's examples, and runs of words
that cover a vocabulary.

Knows no audio and no requests.
"""

import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from engines.errors import AttuneError
from engines.llm.vocabulary import Vocabulary

FORTUNES = Path("/usr/share/games/fortunes")
WORDNET = Path("/usr/share/wordnet")
WORD_LIST = Path("/usr/share/dict/american-english")
_UNSPEAKABLE = {"ascii-art", "songs-poems", "drugs", "perl", "zippy", "translate-me", "knghtbrd"}
"""Files of drawings, dialect, code and quotations that a synthesizer garbles."""
_MOST_WORDS = 14


def fortune_sentences() -> list[str]:
    """Every plain sentence of 3 to 14 words in Debian's fortunes, sorted. Raises AttuneError where
    they are not installed."""
    sentences: set[str] = set()
    for path in sorted(FORTUNES.glob("*.u8")):
        if path.stem in _UNSPEAKABLE:
            continue
        for fortune in path.read_text(errors="ignore").split("\n%\n"):
            for sentence in re.split(r"(?<=[.!?]) ", re.sub(r"\s+", " ", fortune)):
                stripped = sentence.strip(" \"'-")
                if is_plain(stripped):
                    sentences.add(stripped)
    if not sentences:
        raise AttuneError(f"no fortunes in {FORTUNES}; run `apt-get install fortunes`")
    return sorted(sentences)


def wordnet_sentences() -> list[str]:
    """Every plain example of 3 to 14 words in WordNet, as a sentence, sorted. Raises AttuneError
    where it is not installed.

    Its examples have words that no fortune has: each sense of each word has its own.
    """
    sentences: set[str] = set()
    for kind in ("adj", "adv", "noun", "verb"):
        for line in wordnet_lines("data", kind):
            for example in re.findall(r'"([^"]+)"', line.partition(" | ")[2]):
                sentence = as_sentence(example)
                if is_plain(sentence):
                    sentences.add(sentence)
    return sorted(sentences)


def wordnet_lines(name: str, kind: str) -> list[str]:
    """The lines of WordNet's file `name` ("data" or "index") for a kind of words, without its
    licence (wndb(5WN)).

    Raises AttuneError where it is not installed.
    """
    try:
        lines = (WORDNET / f"{name}.{kind}").read_text(errors="ignore").splitlines()
    except OSError:
        raise AttuneError(f"no WordNet in {WORDNET}; run `apt-get install wordnet-base`") from None
    return [line for line in lines if not line.startswith(" ")]


def as_sentence(text: str) -> str:
    """`text` with a capital at its start and a full stop at its end, as a transcript has them."""
    stripped = text.strip(" ;,-")
    return stripped[:1].upper() + stripped[1:] + ("" if stripped[-1:] in ".?!" else ".")


def is_plain(sentence: str) -> bool:
    """Whether every synthesizer reads the sentence as it is written: letters, commas and full
    stops, no abbreviations in capitals."""
    return (
        re.fullmatch(r"[A-Za-z][A-Za-z ,'?!.]*", sentence) is not None
        and 3 <= len(sentence.split()) <= _MOST_WORDS
        and len(sentence) < 90
        and re.search(r"[A-Z]{3}", sentence) is None
    )


def word_entries(vocabulary: Vocabulary) -> dict[str, int]:
    """The entries of a language model's vocabulary that are words (a space, letters, in Debian's
    word list), with their numbers, sorted.

    A word with a capital is taken only where the word list has no other form (names), because a
    capital cannot be heard. Raises AttuneError where there is no list.
    """
    try:
        known = set(WORD_LIST.read_text().split())
    except OSError:
        raise AttuneError(f"no word list at {WORD_LIST}; run `apt-get install wamerican`") from None
    pieces = (
        (token, vocabulary.piece(token).decode(errors="replace"))
        for token in range(vocabulary.size)
    )
    words = {piece[1:]: token for token, piece in pieces if re.fullmatch(r" [A-Za-z]{2,}", piece)}
    return {
        word: words[word]
        for word in sorted(words)
        if word in known and (word.islower() or word.lower() not in known)
    }


def coverage_sentences(words: Sequence[str], rng: random.Random) -> list[str]:
    """Sentences of no meaning in which each of `words` stands once: a soft token cannot become a
    token that training never met."""
    left, runs = rng.sample(list(words), len(words)), []
    while left:
        size = rng.randint(3, 6)
        runs.append(left[:size])
        left = left[size:]
    return [_run_of(run, rng) for run in runs]


def _run_of(words: Iterable[str], rng: random.Random) -> str:
    run = list(words)
    text = rng.choice([", ", " ", " "]).join(run)
    opening = rng.choice(["", "", "", "Say ", "And ", "The words are ", "I wrote ", "It was "])
    return as_sentence(opening + text)


def is_held_out(text: str) -> bool:
    """Whether `text` is only judged on and never trained on, by a hash."""
    return hashlib.sha256(text.encode()).digest()[0] == 0
