"""Makes distillation samples: the language model's replies to an utterance's text, under several
instructions, with the next tokens that it expects at every position.

The teacher's part of a sample depends on text alone, so it is computed once and kept on the disk.
Knows conversations, no losses.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engines.encryption.files import UnreadableError, read_file, write_file
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary

from ..training.samples import Sample
from .losses import MOST_PROBABLE, TEMPERATURE, DistillationSample, with_teacher_targets
from .vocabulary_loss import TeacherTargets

INSTRUCTIONS = (
    "",
    "Go on from there.",
    "Repeat it word for word.",
    "Say in your own words what was asked.",
)
"""The instructions that may follow the words: none (the words are to be answered), or another task,
so that the adapter learns to convey the words and not to answer them."""
REPLY_TOKENS = 48


@dataclass(frozen=True)
class DistillationSampleMaker:
    """Makes distillation samples, and keeps their teacher targets in a folder."""

    vocabulary: Vocabulary
    writer: LlamaCppLanguageModel
    """The language model that writes the replies; its conversation is forgotten."""
    open_teacher: Callable[[], Any]
    """Opens the same language model in torch, for a sample whose targets are not on the disk
    yet."""
    about: str
    """Everything besides texts that the targets depend on: the language model's sha256 and the
    system prompt."""
    folder: Path

    @cached_property
    def _teacher(self) -> Any:
        return self.open_teacher()

    def make(
        self, sample: Sample, text: str, instructions: Sequence[str]
    ) -> list[DistillationSample]:
        """A distillation sample of `sample`, in which `text` was said, for each of
        `instructions`."""
        return [self._make(sample, text, instruction) for instruction in instructions]

    def _make(self, sample: Sample, text: str, instruction: str) -> DistillationSample:
        around = self.writer.turn_tokens
        asked = self.vocabulary.tokenize(f"\n{instruction}") if instruction else []
        before, after = torch.tensor(around.opening), torch.tensor([*asked, *around.closing])
        words = sample.tokens.tolist()
        key = json.dumps(
            [self.about, words, text, instruction, REPLY_TOKENS, MOST_PROBABLE, TEMPERATURE]
        )
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.lesson.safetensors"
        kept = _read(path)
        if kept is None:
            reply = torch.tensor(self._reply(text, instruction))
            written = torch.tensor(self.vocabulary.tokenize(text.strip()))
            targets = with_teacher_targets(self._teacher, sample, written, before, after, reply)
            kept = {
                "reply": reply,
                **_packed("words", targets.word_targets),
                **_packed("reply", targets.reply_targets),
            }
            _write(path, kept)
        of_words, of_reply = _unpacked("words", kept), _unpacked("reply", kept)
        return DistillationSample(
            **vars(sample),
            before=before,
            after=after,
            reply=kept["reply"],
            word_targets=of_words,
            reply_targets=of_reply,
        )

    def _reply(self, text: str, instruction: str) -> list[int]:
        """The tokens of the reply to a text, with its end where it has one."""
        self.writer.reset()
        asked = f"{text}\n{instruction}" if instruction else text
        tokens = self.vocabulary.tokenize("".join(self.writer.reply(asked, REPLY_TOKENS)))
        end = self.writer.turn_tokens.between[:1]
        return tokens if len(tokens) >= REPLY_TOKENS else [*tokens, *end]


def _packed(name: str, teacher: TeacherTargets) -> dict[str, Tensor]:
    return {
        f"{name}.tokens": teacher.tokens.int(),
        f"{name}.log_probabilities": teacher.log_probabilities,
    }


def _unpacked(name: str, kept: dict[str, Tensor]) -> TeacherTargets:
    return TeacherTargets(kept[f"{name}.tokens"].long(), kept[f"{name}.log_probabilities"])


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors in the file; None where there is no file that is whole."""
    try:
        return load(read_file(path))
    except (OSError, SafetensorError, UnreadableError):
        return None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))
