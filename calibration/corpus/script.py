"""The script of a corpus, before any of it is made: which text in which voice, or which recording.
Knows no audio.

A script is a function of its sources and its seed, so a build that was killed goes on with the same
script.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.llm.vocabulary import Vocabulary

from .manifests import read_recordings
from .synthesis import Voice
from .texts import coverage_sentences, fortune_sentences, word_entries, wordnet_sentences
from .training_requests import open_requests, requests
from .voices import AUGMENTED_COPIES, SHARES, random_voice
from .word_classes import word_classes

_COVERED_UNTIL = (10**9, 24_000, 8_000, 8_000)
"""How often words stand in sentences of no meaning: each word once, and once more for each further
limit that its number in the vocabulary is below."""
_REQUEST_SHARE, _OPEN_REQUEST_SHARE, _FORTUNE_SHARE = 0.12, 0.28, 0.2
"""The shares of the texts that remain after coverage; the rest are WordNet's examples."""
_WORDS_PER_SECOND = 2.4


@dataclass(frozen=True)
class ScriptLine:
    """One utterance to make."""

    text: str
    source: Voice | Path
    """The voice that says the text, or the recording in which it is said."""
    seed: int
    """The seed of its augmentation."""

    @property
    def copies(self) -> int:
        """The number of its augmented copies."""
        return (
            AUGMENTED_COPIES.get(self.source.synthesizer, 1)
            if isinstance(self.source, Voice)
            else 1
        )

    @property
    def expected_seconds(self) -> float:
        return 0.6 + len(self.text.split()) / _WORDS_PER_SECOND


def synthetic_script(
    hours: float,
    vocabulary: Vocabulary,
    written: Sequence[str],
    seed: int,
    *,
    covers_vocabulary: bool = True,
) -> list[ScriptLine]:
    """About `hours` of synthetic speech: coverage of the vocabulary (words in sentences of no
    meaning, at most half of the texts), `written` (sentences by the language model), requests,
    fortunes and WordNet's examples, in random order and random voices.

    Raises AttuneError where a source is not installed.
    """
    rng = random.Random(seed)
    texts, entries = list(written), word_entries(vocabulary)
    for end in _COVERED_UNTIL if covers_vocabulary else ():
        texts += coverage_sentences([word for word, number in entries.items() if number < end], rng)
    copies = sum(share * AUGMENTED_COPIES.get(kind, 1) for kind, share in SHARES.items())
    fortunes, examples = fortune_sentences(), wordnet_sentences()
    needed = hours * 3600 / (_mean_seconds(texts or examples) * copies)
    texts = texts[: int(needed / 2)] if len(texts) > needed / 2 else texts
    left = int(needed) - len(texts)
    texts += requests(int(left * _REQUEST_SHARE), rng)
    texts += open_requests(int(left * _OPEN_REQUEST_SHARE), word_classes(entries), rng)
    texts += rng.sample(fortunes, min(len(fortunes), int(left * _FORTUNE_SHARE)))
    texts += rng.sample(examples, min(len(examples), int(needed) - len(texts)))
    rng.shuffle(texts)
    return [
        ScriptLine(text, random_voice(rng, SHARES), seed * 10_000_019 + index)
        for index, text in enumerate(texts)
    ]


def replay_script(count: int, seed: int) -> list[ScriptLine]:
    """The lines of `count` sentences for the voices that set-up installs: a quarter requests, the
    rest fortunes."""
    rng = random.Random(seed)
    texts = rng.sample(fortune_sentences(), count * 3 // 4)
    texts += requests(count - len(texts), rng)
    rng.shuffle(texts)
    shares = {kind: SHARES[kind] for kind in ("espeak-ng", "atypical", "flite")}
    return [
        ScriptLine(text, random_voice(rng, shares), seed * 10_000_019 + index)
        for index, text in enumerate(texts)
    ]


def recorded_script(sources: Sequence[Path], seed: int) -> list[ScriptLine]:
    """The lines of every utterance in `sources`: JSON lines (`audio`, `text`), a LibriSpeech
    folder, or a Common Voice folder.

    Raises AttuneError for a source that is none of them, or a line that cannot be read.
    """
    found = [pair for source in sources for pair in read_recordings(source)]
    return [
        ScriptLine(text, audio, seed * 10_000_019 + index)
        for index, (audio, text) in enumerate(found)
    ]


def _mean_seconds(texts: Sequence[str]) -> float:
    return sum(ScriptLine(text, Path(), 0).expected_seconds for text in texts) / len(texts)
