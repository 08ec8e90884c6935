"""Makes lessons: what the language model says to an utterance's text, under several instructions,
and what it expects all along.

The teacher's part of a lesson depends on text alone, so it is computed once and kept on the disk.
Knows conversations, no losses.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary

from ..training.samples import Sample
from .losses import MOST_PROBABLE, TEMPERATURE, Lesson, teach
from .vocabulary_loss import Teacher

INSTRUCTIONS = (
    "",
    "Go on from there.",
    "Repeat it word for word.",
    "Say in your own words what was asked.",
)
"""What may follow the words: nothing (they are to be answered), or something else to do with them,
so that what is learnt is to hear the words, not to answer them."""
REPLY_TOKENS = 48


@dataclass(frozen=True)
class LessonMaker:
    """Who makes lessons, and where they are kept."""

    vocabulary: Vocabulary
    writer: LlamaCppLanguageModel
    """Writes the replies; its conversation is forgotten."""
    open_teacher: Callable[[], Any]
    """Opens the same language model in torch, where a lesson is not on the disk yet."""
    about: str
    """What lessons depend on besides texts: the language model's sha256 and the system prompt."""
    folder: Path

    @cached_property
    def _teacher(self) -> Any:
        return self.open_teacher()

    def lessons(self, sample: Sample, text: str, instructions: Sequence[str]) -> list[Lesson]:
        """A lesson of `sample`, in which `text` was said, for each of `instructions`."""
        return [self._lesson(sample, text, instruction) for instruction in instructions]

    def _lesson(self, sample: Sample, text: str, instruction: str) -> Lesson:
        opening, closing, _ = self.writer.turn_tokens
        asked = self.vocabulary.tokenize(f"\n{instruction}") if instruction else []
        before, after = torch.tensor(opening), torch.tensor([*asked, *closing])
        words = sample.tokens.tolist()
        key = json.dumps(
            [self.about, words, text, instruction, REPLY_TOKENS, MOST_PROBABLE, TEMPERATURE]
        )
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.lesson.safetensors"
        kept = _read(path)
        if kept is None:
            reply = torch.tensor(self._reply(text, instruction))
            written = torch.tensor(self.vocabulary.tokenize(text.strip()))
            taught = teach(self._teacher, sample, written, before, after, reply)
            kept = {
                "reply": reply,
                **_packed("words", taught.at_words),
                **_packed("reply", taught.at_reply),
            }
            _write(path, kept)
        of_words, of_reply = _unpacked("words", kept), _unpacked("reply", kept)
        return Lesson(
            **vars(sample),
            before=before,
            after=after,
            reply=kept["reply"],
            at_words=of_words,
            at_reply=of_reply,
        )

    def _reply(self, text: str, instruction: str) -> list[int]:
        """The tokens of the reply to a text, with its end where it came to one."""
        self.writer.reset()
        asked = f"{text}\n{instruction}" if instruction else text
        tokens = self.vocabulary.tokenize("".join(self.writer.reply(asked, REPLY_TOKENS)))
        _, _, between = self.writer.turn_tokens
        return tokens if len(tokens) >= REPLY_TOKENS else [*tokens, *between[:1]]


def _packed(name: str, teacher: Teacher) -> dict[str, Tensor]:
    return {
        f"{name}.tokens": teacher.tokens.int(),
        f"{name}.log_probabilities": teacher.log_probabilities,
    }


def _unpacked(name: str, kept: dict[str, Tensor]) -> Teacher:
    return Teacher(kept[f"{name}.tokens"].long(), kept[f"{name}.log_probabilities"])


def _read(path: Path) -> dict[str, Tensor] | None:
    """What is kept; None where nothing is, or it was cut short when written."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside)
    beside.replace(path)
