"""The sounds of a vocabulary's tokens: phonemes by espeak-ng, and the keys that a projector
compares its units with.

The rows of an embedding table say nothing of sound: the place of each word has to be learnt by
itself, from recordings of that very word. A key made from phonemes is shared by all words that have
them, so a word that was hardly ever met is found by its sound (acoustically grounded word
embeddings: Settle et al. 2019, arXiv 1903.12306). Knows no audio and no losses.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engines.device.commands import run_command
from engines.errors import AttuneError
from engines.llm.vocabulary import Vocabulary

MOST_PHONEMES = 12
"""The most phonemes of a token that are kept; one English word in seventy of the vocabulary has
more."""
PHONEME_SYMBOLS = 96
"""The number of phoneme symbols: enough for espeak-ng's American phonemes, of which the usual
vocabularies need 73. Symbol 0 is none."""
_PLACES = 6
_PHONEME_WIDTH, _HIDDEN_WIDTH = 48, 384
_AT_ONCE = 2000


def pronounce(vocabulary: Vocabulary, tokens: Iterable[int], threads: int) -> NDArray[np.uint8]:
    """The phonemes of those of `tokens` that are letters: [vocabulary.size, MOST_PHONEMES], with
    zeros after the last and everywhere else.

    A piece of a word is pronounced as if it were a word. Raises AttuneError where espeak-ng is not
    installed or fails.
    """
    spelled = {
        token: vocabulary.piece(token).decode(errors="replace").strip()
        for token in sorted(set(tokens))
    }
    readable = [
        token
        for token, piece in spelled.items()
        if re.fullmatch(r"[A-Za-z']*[A-Za-z][A-Za-z']*", piece)
    ]
    groups = [readable[start : start + _AT_ONCE] for start in range(0, len(readable), _AT_ONCE)]
    with ThreadPoolExecutor(threads) as pool:
        spoken = [
            line
            for lines in pool.map(lambda group: _lines([spelled[token] for token in group]), groups)
            for line in lines
        ]
    symbols: dict[str, int] = {}
    table = np.zeros((vocabulary.size, MOST_PHONEMES), np.uint8)
    for token, line in zip(readable, spoken, strict=True):
        for place, phoneme in enumerate(phonemes_of(line)[:MOST_PHONEMES]):
            table[token, place] = symbols.setdefault(phoneme, len(symbols) + 1)
    if len(symbols) >= PHONEME_SYMBOLS:
        raise AttuneError(
            f"espeak-ng used {len(symbols)} phonemes where there is room for {PHONEME_SYMBOLS - 1}"
        )
    return table


def phonemes_of(line: str) -> list[str]:
    """The phonemes in a line of espeak-ng's mnemonics separated by "_", without stress and
    pauses."""
    plain = (re.sub(r"[',%=;|]", "", phoneme) for phoneme in re.split(r"[_ ]+", line.strip()))
    return [phoneme for phoneme in plain if phoneme]


def _lines(words: list[str]) -> list[str]:
    # An empty line between words, else espeak-ng takes neighbours for one sentence.
    command = ["espeak-ng", "-q", "-x", "--sep=_", "-v", "en-us", "--stdin"]
    lines = run_command(command, "\n\n".join(words).encode()).decode().splitlines()
    if len(lines) != len(words):
        raise AttuneError(
            f"espeak-ng pronounced {len(lines)} of {len(words)} words; another version of it is"
            " needed"
        )
    return lines


class PronunciationKeys(nn.Module):
    """Maps tokens to unit vectors that are near each other where the tokens sound alike."""

    phonemes: Tensor
    """[vocabulary size, MOST_PHONEMES] uint8, a part of the state: loading a projector needs no
    espeak-ng."""
    places: Tensor

    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__()
        self.register_buffer(
            "phonemes", torch.zeros(vocabulary_size, MOST_PHONEMES, dtype=torch.uint8)
        )
        self.register_buffer("places", _shares_of_places(), persistent=False)
        self.embedding = nn.Embedding(PHONEME_SYMBOLS, _PHONEME_WIDTH)
        self.hidden = nn.Linear(_PLACES * _PHONEME_WIDTH, _HIDDEN_WIDTH)
        self.out = nn.Linear(_HIDDEN_WIDTH, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[N] int64 tokens to [N, K] unit vectors, zeros where a token has no pronunciation."""
        phonemes = self.phonemes[tokens].long()
        lengths = (phonemes > 0).sum(dim=1)
        placed = torch.einsum("nip,nie->npe", self.places[lengths], self.embedding(phonemes))
        keys = F.normalize(self.out(F.gelu(self.hidden(placed.flatten(1)))), dim=-1)
        return keys * (lengths > 0).unsqueeze(1)

    def spoken(self, tokens: Tensor) -> Tensor:
        """The phonemes of [N] tokens in their order, int64, as they are said one after the
        other."""
        phonemes = self.phonemes[tokens].long()
        return phonemes[phonemes > 0]


def _shares_of_places() -> Tensor:
    """[MOST_PHONEMES + 1, MOST_PHONEMES, _PLACES]: for each length, the share of each phoneme at
    each of the places.

    A phoneme between two places is shared by them, so the same sound a little later makes nearly
    the same key.
    """
    shares = torch.zeros(MOST_PHONEMES + 1, MOST_PHONEMES, _PLACES)
    for length in range(1, MOST_PHONEMES + 1):
        where = (
            torch.linspace(0, _PLACES - 1, length)
            if length > 1
            else torch.tensor([(_PLACES - 1) / 2])
        )
        shares[length, :length] = (1 - (where.unsqueeze(1) - torch.arange(_PLACES)).abs()).clamp(
            min=0
        )
    return shares
