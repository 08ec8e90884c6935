"""Distillation (BLSP-KD, arXiv 2405.19041): the language model that reads text teaches the same one
that reads speech.

The teacher reads the words as text; the student reads soft tokens in their place, one for each
spoken token, which pass through a partial adapter. The student is to expect after each soft token
what the teacher expects after the spoken token (input), and all through a reply that the language
model itself gave to the text the same next tokens as the teacher, who has read the text as it is
written (response). Knows lessons and losses; who makes lessons is elsewhere.

Shapes: B lessons, U tokens of words, R tokens of reply, N positions of all lessons, E embedding
width, H hidden width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from engines.device.memory import trim

from ..projector.cif import CifProjector
from ..projector.embedlink import Candidates, EmbedLink
from ..training.loop import Learner
from ..training.samples import Batch, Sample, collate
from .partial_lora import PartialLoraLinear, set_speech
from .quantized_layers import QuantizedLinear
from .vocabulary_loss import Teacher, ask_teacher, cross_entropy, divergence

TEMPERATURE = 1.0
"""At 2, most of a teacher's probability lies outside the tokens that are kept
(docs/distillation.md)."""
MOST_PROBABLE = 64
"""How many tokens of a teacher's distribution are kept; the rest as one mass."""
LOSS_WEIGHTS = {"input_kl": 1.0, "response_kl": 1.0, "response_ce": 0.0}
"""Of the language model's losses, beside EmbedLink's, which keep their weights. A loss of weight 0
is not computed."""


@dataclass(frozen=True)
class Lesson(Sample):
    """An utterance in a conversation, and what the teacher expects in it."""

    before: Tensor
    """[P] int64 tokens before the words, the system prompt included."""
    after: Tensor
    """[Q] int64 tokens between the words and the reply: an instruction where there is one, and the
    closing of the turn."""
    reply: Tensor
    """[R] int64 tokens of the reply, its end included."""
    at_words: Teacher
    """After each of the U tokens of the words."""
    at_reply: Teacher
    """Before each of the R tokens of the reply."""


@dataclass(frozen=True)
class LessonBatch(Batch):
    """Lessons beside each other."""

    lessons: Sequence[Lesson] = ()

    def to(self, device: torch.device) -> "LessonBatch":
        plain = Batch(**{field.name: getattr(self, field.name) for field in fields(Batch)})
        return LessonBatch(**vars(plain.to(device)), lessons=self.lessons)


def teach(
    language_model: Any,
    sample: Sample,
    written: Tensor,
    before: Tensor,
    after: Tensor,
    reply: Tensor,
    most: int = MOST_PROBABLE,
) -> Lesson:
    """The lesson of a sample, of whose text `written` are the tokens, in a conversation.

    `language_model`, which reads text alone, runs over its spoken tokens, and over the whole
    conversation as it is written.
    """
    spoken = _expected(language_model, torch.cat([before, sample.tokens]), len(before), most)
    # Shifted by one, or the first token of the reply would never be learnt.
    first = len(before) + len(written) + len(after) - 1
    replied = _expected(
        language_model, torch.cat([before, written, after, reply[:-1]]), first, most
    )
    return Lesson(
        **vars(sample), before=before, after=after, reply=reply, at_words=spoken, at_reply=replied
    )


@torch.no_grad()
def _expected(language_model: Any, tokens: Tensor, first: int, most: int) -> Teacher:
    """After each of `tokens` from `first` on."""
    hidden = language_model.model(
        tokens[None].to(language_model.device), use_cache=False
    ).last_hidden_state[0, first:]
    return _moved(
        ask_teacher(hidden, language_model.lm_head, most, TEMPERATURE), torch.device("cpu")
    )


class Distillation(Learner):
    """A projector and an adapter, the language model between them, and EmbedLink's losses
    beside."""

    def __init__(
        self, embedlink: EmbedLink, adapted: PeftModel, weights: Mapping[str, float] = LOSS_WEIGHTS
    ) -> None:
        """`adapted` is the frozen language model with its adapter; `weights` those of LOSS_WEIGHTS
        and of EmbedLink's losses.

        What does not require gradients by now is not trained; with a frozen projector, EmbedLink's
        losses are left out.
        """
        super().__init__()
        self.embedlink = embedlink
        self.adapter = nn.ModuleDict(
            {
                name.replace(".", "/"): nn.ModuleList(
                    [module.lora_A, module.lora_B, module.lora_dropout]
                )
                for name, module in adapted.named_modules()
                if isinstance(module, PartialLoraLinear)
            }
        )
        # each has its own
        self.loss_weights = {**embedlink.loss_weights, **LOSS_WEIGHTS, **weights}  # type: ignore[misc]
        self._projector_learns = any(
            value.requires_grad for value in embedlink.projector.parameters()
        )
        self._adapted = (adapted,)  # in a tuple: its own weights are neither trained nor saved
        self.language_model.activation_checkpointing_enable({"use_reentrant": False})
        self.language_model.train()
        for layer in self.language_model.model.layers:
            # What a layer computed with leaves holes in the heap, which glibc (2.36) did not fill
            # again: 300 MiB after a step.
            layer.register_forward_hook(lambda *_: trim())

    @property
    # it is embedlink's, and saved as such
    def projector(self) -> CifProjector:  # type: ignore[override]
        """What is trained beside the adapter."""
        return self.embedlink.projector

    @property
    def language_model(self) -> Any:
        """The frozen one, its adapter inside."""
        return self._adapted[0].base_model.model

    def collate(self, samples: Sequence[Sample]) -> LessonBatch:
        """Lessons into one batch."""
        lessons = [sample for sample in samples if isinstance(sample, Lesson)]
        return LessonBatch(**vars(collate(lessons)), lessons=lessons)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """EmbedLink's losses and the language model's, all unweighted; gradients are computed
        before the next call."""
        assert isinstance(batch, LessonBatch)
        output = self.embedlink.project(batch)
        candidates = self.embedlink.candidates(batch, generator)
        losses = self.embedlink.losses(output, batch, candidates) if self._projector_learns else {}
        soft = self.soft(output.vectors, candidates)
        words = [row[: len(lesson.tokens)] for row, lesson in zip(soft, batch.lessons, strict=True)]
        return losses | self._from_language_model(words, batch.lessons)

    def soft(self, vectors: Tensor, candidates: Candidates) -> Tensor:
        """[B, U, E + K] units to [B, U, E] soft tokens: the mean of the rows that each may mean,
        weighted by how probable they are by row and by key."""
        return candidates.blends(
            (self.projector.scored(vectors) @ candidates.table.T).softmax(dim=-1)
        )

    def _from_language_model(
        self, soft: Sequence[Tensor], lessons: Sequence[Lesson]
    ) -> dict[str, Tensor]:
        if not any(self.loss_weights[name] for name in LOSS_WEIGHTS):
            return {}
        embed = self.language_model.get_input_embeddings()
        device = soft[0].device
        conversations, spoken = [], []
        for words, lesson in zip(soft, lessons, strict=True):
            before, rest = (
                embed(tokens.to(device))
                for tokens in (lesson.before, torch.cat([lesson.after, lesson.reply]))
            )
            conversations.append(torch.cat([before, words, rest]))
            place = torch.arange(len(conversations[-1]), device=device)
            spoken.append((place >= len(before)) & (place < len(before) + len(words)))
        inputs, mask = (
            nn.utils.rnn.pad_sequence(some, batch_first=True) for some in (conversations, spoken)
        )
        there = torch.arange(inputs.shape[1], device=device) < torch.tensor(
            [[len(c)] for c in conversations], device=device
        )
        set_speech(self._adapted[0], mask)
        hidden = self.language_model.model(
            inputs_embeds=inputs, attention_mask=there.long(), use_cache=False
        ).last_hidden_state
        return self._judged(hidden, lessons)

    def _judged(self, hidden: Tensor, lessons: Sequence[Lesson]) -> dict[str, Tensor]:
        """The losses of the [B, T, H] hidden states of all conversations; each position counts the
        same."""
        output: QuantizedLinear = self.language_model.lm_head
        at_words, at_reply = (
            torch.cat(some) for some in zip(*map(_expecting, hidden, lessons), strict=True)
        )
        losses = {}
        for name, states, teachers in (
            ("input_kl", at_words, [lesson.at_words for lesson in lessons]),
            ("response_kl", at_reply, [lesson.at_reply for lesson in lessons]),
        ):
            if self.loss_weights[name]:
                losses[name] = divergence(
                    states, output, _moved(_joined(teachers), hidden.device), TEMPERATURE
                ).mean()
        if self.loss_weights["response_ce"]:
            tokens = torch.cat([lesson.reply for lesson in lessons]).to(hidden.device)
            losses["response_ce"] = cross_entropy(at_reply, output, tokens).mean()
        return losses


def _expecting(hidden: Tensor, lesson: Lesson) -> tuple[Tensor, Tensor]:
    """Of the [T, H] hidden states of a student's conversation those after each soft token, and
    those before each token of the reply, as in `teach`."""
    end = len(lesson.before) + len(lesson.tokens)
    first = end + len(lesson.after) - 1
    return hidden[len(lesson.before) : end], hidden[first : first + len(lesson.reply)]


def _joined(teachers: Sequence[Teacher]) -> Teacher:
    return Teacher(
        *(torch.cat([getattr(one, field.name) for one in teachers]) for field in fields(Teacher))
    )


def _moved(teacher: Teacher, device: torch.device) -> Teacher:
    return Teacher(teacher.tokens.to(device), teacher.log_probabilities.to(device))
