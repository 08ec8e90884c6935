"""Utterances as Whisper learns them: log-mel and tokens, alone and in batches. Knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from engines.errors import AttuneError
from engines.types import Float16, Float32

IGNORED = -100
"""The label of a place that no loss is computed for."""
MOST_TOKENS = 120
"""The most tokens of a label; nobody says more in the ten seconds of a piece."""
_COLUMNS = 64
"""The columns of a batch are a multiple of this many: each new shape costs memory and time."""
_BANDS, _WIDEST_BAND = 2, 12
_GAPS, _LONGEST_GAP, _GAP_SHARE = 2, 24, 12


@dataclass(frozen=True)
class SpokenSample:
    """One utterance, ready to train on."""

    mel: Tensor
    """[columns, mel_bins] float16 log-mel of the utterance alone."""
    tokens: Tensor
    """[N] int64: the prompt, the label, and the end."""
    prompt: int
    """The number of tokens of the prompt."""
    weight: float = 1.0
    """The probability with which a step that draws it keeps it."""

    def __len__(self) -> int:
        return len(self.mel)


@dataclass(frozen=True)
class SpokenBatch:
    """Samples padded to the longest."""

    mel: Tensor
    """[B, mel_bins, columns] float32; silence where padded."""
    columns: Tensor
    """[B] int64 number of columns of each."""
    inputs: Tensor
    """[B, N] int64 tokens that the decoder reads."""
    labels: Tensor
    """[B, N] int64 tokens that are to follow each of them, IGNORED in the prompt and in the
    padding."""

    def to(self, device: torch.device) -> "SpokenBatch":
        return SpokenBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Labels:
    """Whisper's tokens of labels."""

    def __init__(self, whisper: Path, language: str = "en") -> None:
        """Open a CTranslate2 folder's tokenizer, for labels in `language`. Raises AttuneError where
        it is not Whisper's, or does not know the language."""
        self._tokenizer = Tokenizer.from_file(str(whisper / "tokenizer.json"))
        multilingual = self._tokenizer.token_to_id("<|zh|>") is not None
        names = ["<|startoftranscript|>"]
        names += [f"<|{language}|>", "<|transcribe|>"] if multilingual else []
        self.prompt = [self._special(name) for name in [*names, "<|notimestamps|>"]]
        self.end = self._special("<|endoftext|>")

    def _special(self, name: str) -> int:
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise AttuneError(f"the speech model's tokenizer has no {name}; it is no Whisper model")
        return int(token)

    def tokens(self, text: str) -> list[int]:
        """The tokens of `text`, without prompt and end."""
        found: list[int] = self._tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids
        return found

    def sample(self, mel: Float32 | Float16, text: str, weight: float = 1.0) -> SpokenSample | None:
        """A training sample of log-mel [mel_bins, columns]; None where the label has no words or
        too many."""
        said = self.tokens(text)
        if not text.strip() or len(said) > MOST_TOKENS:
            return None
        halves = torch.from_numpy(np.ascontiguousarray(mel.T, np.float16))
        tokens = torch.tensor([*self.prompt, *said, self.end])
        return SpokenSample(halves, tokens, len(self.prompt), weight)


def collate(samples: Sequence[SpokenSample]) -> SpokenBatch:
    """Pad `samples` into one batch."""
    columns = torch.tensor([len(sample) for sample in samples])
    longest = -(-int(columns.max()) // _COLUMNS) * _COLUMNS
    bins = samples[0].mel.shape[1]
    mel = torch.empty(len(samples), bins, longest)
    for row, sample in zip(mel, samples, strict=True):
        values = sample.mel.float().T
        row.fill_(float(values.min()))
        row[:, : len(sample)] = values
    end = int(samples[0].tokens[-1])
    inputs = nn.utils.rnn.pad_sequence(
        [sample.tokens[:-1] for sample in samples], batch_first=True, padding_value=end
    )
    labels = nn.utils.rnn.pad_sequence(
        [sample.tokens[1:] for sample in samples], batch_first=True, padding_value=IGNORED
    )
    labels[:, : samples[0].prompt - 1] = IGNORED
    return SpokenBatch(mel, columns, inputs, labels)


def masked(batch: SpokenBatch, generator: torch.Generator) -> SpokenBatch:
    """`batch` with some bands of frequency and some gaps in time hidden behind each utterance's
    mean (SpecAugment, Park et al. 2019, arXiv 1904.08779)."""
    mel = batch.mel.clone()

    def draw(below: int) -> int:
        return int(torch.randint(0, max(1, below), (1,), generator=generator))

    for row, columns in zip(mel, batch.columns.tolist(), strict=True):
        mean = row[:, :columns].mean()
        for _ in range(_BANDS):
            width = draw(_WIDEST_BAND + 1)
            first = draw(len(row) - width)
            row[first : first + width] = mean
        for _ in range(_GAPS):
            width = draw(min(_LONGEST_GAP, columns // _GAP_SHARE) + 1)
            first = draw(columns - width)
            row[:, first : first + width] = mean
    return replace(batch, mel=mel)
