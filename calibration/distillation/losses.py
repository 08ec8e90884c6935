"""Distillation (BLSP-KD, arXiv 2405.19041): the language model that reads text teaches the same one
that reads speech.

The teacher reads the words as text; the student reads soft tokens in their place, one for each
spoken token, which pass through a partial adapter. After each soft token the student is to expect
what the teacher expects after the spoken token (input). And all through a reply, which the language
model itself gave to the text, it is to expect the same next tokens as the teacher, who has read the
text as it is written (response). Knows samples and losses; `teacher_targets.py` makes the samples.

Shapes: B samples, U tokens of words, R tokens of reply, N positions of all samples, E embedding
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
from ..training.learner import ProjectorLearner
from ..training.samples import Batch, Sample, collate
from .partial_lora import PartialLoraLinear, set_speech
from .quantized_layers import QuantizedLinear
from .vocabulary_loss import TeacherTargets, cross_entropy, divergence, teacher_targets

TEMPERATURE = 1.0
"""The temperature of both distributions. At 2, most of a teacher's probability lies outside the
tokens that are kept (docs/experiments/021)."""
MOST_PROBABLE = 64
"""The number of tokens of a teacher's distribution that are kept; the rest is one mass."""
LOSS_WEIGHTS = {"input_kl": 1.0, "response_kl": 1.0, "response_ce": 0.0}
"""The weights of the language model's losses, beside EmbedLink's, which keep theirs. A loss of
weight 0 is not computed."""


@dataclass(frozen=True)
class DistillationSample(Sample):
    """An utterance in a conversation, with the teacher's targets."""

    before: Tensor
    """[P] int64 tokens before the words, with the system prompt."""
    after: Tensor
    """[Q] int64 tokens between the words and the reply: an instruction where there is one, and the
    closing of the turn."""
    reply: Tensor
    """[R] int64 tokens of the reply, with its end."""
    word_targets: TeacherTargets
    """The teacher's targets after each of the U tokens of the words."""
    reply_targets: TeacherTargets
    """The teacher's targets before each of the R tokens of the reply."""


@dataclass(frozen=True)
class DistillationBatch(Batch):
    """Distillation samples padded to the longest."""

    samples: Sequence[DistillationSample] = ()

    def to(self, device: torch.device) -> "DistillationBatch":
        plain = Batch(**{field.name: getattr(self, field.name) for field in fields(Batch)})
        return DistillationBatch(**vars(plain.to(device)), samples=self.samples)


def with_teacher_targets(
    language_model: Any,
    sample: Sample,
    written: Tensor,
    before: Tensor,
    after: Tensor,
    reply: Tensor,
    most: int = MOST_PROBABLE,
) -> DistillationSample:
    """`sample` in a conversation, with the teacher's targets; `written` are the tokens of its text.

    `language_model`, which reads text alone, runs over its spoken tokens, and over the whole
    conversation as it is written.
    """
    spoken = _expected(language_model, torch.cat([before, sample.tokens]), len(before), most)
    # Shifted by one, or the first token of the reply would never be learnt.
    first = len(before) + len(written) + len(after) - 1
    replied = _expected(
        language_model, torch.cat([before, written, after, reply[:-1]]), first, most
    )
    return DistillationSample(
        **vars(sample),
        before=before,
        after=after,
        reply=reply,
        word_targets=spoken,
        reply_targets=replied,
    )


@torch.no_grad()
def _expected(language_model: Any, tokens: Tensor, first: int, most: int) -> TeacherTargets:
    """The teacher's targets after each of `tokens` from `first` on."""
    hidden = language_model.model(
        tokens[None].to(language_model.device), use_cache=False
    ).last_hidden_state[0, first:]
    return _moved(
        teacher_targets(hidden, language_model.lm_head, most, TEMPERATURE), torch.device("cpu")
    )


class Distillation(ProjectorLearner):
    """A projector and an adapter with the language model between them, and EmbedLink's losses
    beside."""

    def __init__(
        self, embedlink: EmbedLink, adapted: PeftModel, weights: Mapping[str, float] = LOSS_WEIGHTS
    ) -> None:
        """`adapted` is the frozen language model with its adapter; `weights` are those of
        LOSS_WEIGHTS and of EmbedLink's losses that differ.

        Weights that require no gradients now are not trained; with a frozen projector, EmbedLink's
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
        """The projector, which is trained beside the adapter."""
        return self.embedlink.projector

    @property
    def language_model(self) -> Any:
        """The frozen language model, with its adapter inside."""
        return self._adapted[0].base_model.model

    def collate(self, samples: Sequence[Sample]) -> DistillationBatch:
        """Pad distillation samples into one batch; other samples are left out."""
        kept = [sample for sample in samples if isinstance(sample, DistillationSample)]
        return DistillationBatch(**vars(collate(kept)), samples=kept)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses of EmbedLink and of the language model, all unweighted. Gradients must be
        computed before the next call."""
        assert isinstance(batch, DistillationBatch)
        output = self.embedlink.project(batch)
        candidates = self.embedlink.candidates(batch, generator)
        losses = self.embedlink.losses(output, batch, candidates) if self._projector_learns else {}
        soft = self.soft(output.vectors, candidates)
        words = [row[: len(sample.tokens)] for row, sample in zip(soft, batch.samples, strict=True)]
        return losses | self._from_language_model(words, batch.samples)

    def soft(self, vectors: Tensor, candidates: Candidates) -> Tensor:
        """[B, U, E + K] units to [B, U, E] expected embeddings, weighted by how probable each
        candidate is by row and by key."""
        return candidates.expected_embeddings(
            (self.projector.scored(vectors) @ candidates.table.T).softmax(dim=-1)
        )

    def _from_language_model(
        self, soft: Sequence[Tensor], samples: Sequence[DistillationSample]
    ) -> dict[str, Tensor]:
        if not any(self.loss_weights[name] for name in LOSS_WEIGHTS):
            return {}
        embed = self.language_model.get_input_embeddings()
        device = soft[0].device
        conversations, spoken = [], []
        for words, sample in zip(soft, samples, strict=True):
            before, rest = (
                embed(tokens.to(device))
                for tokens in (sample.before, torch.cat([sample.after, sample.reply]))
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
        return self._judged(hidden, samples)

    def _judged(self, hidden: Tensor, samples: Sequence[DistillationSample]) -> dict[str, Tensor]:
        """The losses from the [B, T, H] hidden states of all conversations; each position counts
        the same."""
        output: QuantizedLinear = self.language_model.lm_head
        at_words, at_reply = (
            torch.cat(some) for some in zip(*map(_expecting, hidden, samples), strict=True)
        )
        losses = {}
        for name, states, teachers in (
            ("input_kl", at_words, [sample.word_targets for sample in samples]),
            ("response_kl", at_reply, [sample.reply_targets for sample in samples]),
        ):
            if self.loss_weights[name]:
                losses[name] = divergence(
                    states, output, _moved(_joined(teachers), hidden.device), TEMPERATURE
                ).mean()
        if self.loss_weights["response_ce"]:
            tokens = torch.cat([sample.reply for sample in samples]).to(hidden.device)
            losses["response_ce"] = cross_entropy(at_reply, output, tokens).mean()
        return losses


def _expecting(hidden: Tensor, sample: DistillationSample) -> tuple[Tensor, Tensor]:
    """The hidden states after each soft token, and those before each token of the reply, of the [T,
    H] states of a student's conversation; as in `with_teacher_targets`."""
    end = len(sample.before) + len(sample.tokens)
    first = end + len(sample.after) - 1
    return hidden[len(sample.before) : end], hidden[first : first + len(sample.reply)]


def _joined(teachers: Sequence[TeacherTargets]) -> TeacherTargets:
    return TeacherTargets(
        *(
            torch.cat([getattr(one, field.name) for one in teachers])
            for field in fields(TeacherTargets)
        )
    )


def _moved(teacher: TeacherTargets, device: torch.device) -> TeacherTargets:
    return TeacherTargets(teacher.tokens.to(device), teacher.log_probabilities.to(device))
