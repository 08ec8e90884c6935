"""A projector trained end to end through the frozen language model, as SLAM-LLM (arXiv 2402.08846)
and Ultravox do: a baseline for the default design.

Frames are stacked, two linear layers take them to the embedding width, and the loss is the language
model's own on what it should say next: here the words themselves, after being asked for them. It
needs the language model in memory and a pass through it, forward and back, for every step.

Shapes: B utterances, S stacks of frames, E embedding width, V vocabulary.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from engines.alignment.text_normalisation import written_tokens
from engines.llm.vocabulary import Vocabulary

from ...training.learner import ProjectorLearner
from ...training.samples import Batch

OPENING = "<|im_start|>user\n"
ASKING = "<|im_end|>\n<|im_start|>user\nRepeat it word for word.<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"
_IGNORED = -100


@dataclass(frozen=True)
class StackConfig:
    """The sizes of a stack-and-MLP projector."""

    frame_width: int
    embedding_width: int
    stack: int = 3
    """The frames in one group, as in every projector's samples."""
    groups: int = 3
    """The groups in one soft token: nine frames, 180 ms."""
    width: int = 2048


class StackProjector(nn.Module):
    """Joins neighbouring frames and applies two linear layers."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(config.frame_width * config.stack * config.groups)
        self.first = nn.Linear(config.frame_width * config.stack * config.groups, config.width)
        self.second = nn.Linear(config.width, config.embedding_width)

    def forward(self, stacked: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """[B, G, stack * D] and the mask [B, G] to soft tokens [B, S, E] and their mask [B, S]."""
        groups = self.config.groups
        missing = -stacked.shape[1] % groups
        stacked, mask = F.pad(stacked, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        wide = stacked.view(stacked.shape[0], -1, groups * stacked.shape[2])
        vectors: Tensor = self.second(F.relu(self.first(self.norm(wide))))
        return vectors, mask.view(mask.shape[0], -1, groups).any(dim=2)


class EndToEnd(ProjectorLearner):
    """A stack projector with the language model's loss behind it."""

    loss_weights: ClassVar = {"repeat": 1.0}

    def __init__(
        self, projector: StackProjector, vocabulary: Vocabulary, language_model: PreTrainedModel
    ) -> None:
        super().__init__()
        self.projector: StackProjector = projector
        self.vocabulary = vocabulary
        # In a tuple: its weights are neither trained nor saved.
        self._language_model = (language_model,)
        self._opening, self._asking, self._end = (
            vocabulary.tokenize(text, special=True) for text in (OPENING, ASKING, END)
        )

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The cross-entropy of the words, as the language model repeats what it was told in soft
        tokens."""
        vectors, mask = self.projector(batch.stacked, batch.mask)
        sequences, labels = [], []
        for row, real, tokens in zip(vectors, mask, batch.tokens, strict=True):
            # As it writes itself.
            target = [*written_tokens(tokens[tokens >= 0].tolist(), self.vocabulary), *self._end]
            before = [
                self._embed(self._opening, vectors),
                row[real],
                self._embed(self._asking, vectors),
            ]
            sequences.append(torch.cat([*before, self._embed(target, vectors)]))
            labels.append(
                torch.tensor([_IGNORED] * sum(map(len, before)) + target, device=vectors.device)
            )
        inputs = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
        targets = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=_IGNORED)
        there = torch.arange(inputs.shape[1], device=inputs.device) < torch.tensor(
            [[len(s)] for s in sequences], device=inputs.device
        )
        hidden = self._model.model(
            inputs_embeds=inputs, attention_mask=there.long()
        ).last_hidden_state
        predicts = targets[:, 1:] != _IGNORED  # position i says what stands at i + 1
        logits = self._model.lm_head(hidden[:, :-1][predicts])
        return {"repeat": F.cross_entropy(logits, targets[:, 1:][predicts])}

    @torch.no_grad()
    def repeat(self, batch: Batch, max_tokens: int) -> list[str]:
        """What the language model repeats of each utterance, decoded greedily, in at most
        `max_tokens` tokens."""
        vectors, mask = self.projector(batch.stacked, batch.mask)
        opening, asking = self._embed(self._opening, vectors), self._embed(self._asking, vectors)
        prompts = [
            torch.cat([opening, row[real], asking]) for row, real in zip(vectors, mask, strict=True)
        ]
        longest = max(map(len, prompts))
        # They end together.
        inputs = torch.stack(
            [F.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts]
        )
        there = torch.arange(longest, device=inputs.device) >= torch.tensor(
            [[longest - len(p)] for p in prompts]
        ).to(inputs.device)
        # not every model has it, all of ours do
        said = self._model.generate(  # type: ignore[operator]
            inputs_embeds=inputs,
            attention_mask=there.long(),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self._end,
            pad_token_id=self._end[0],
        )
        return [
            self.vocabulary.detokenize([t for t in row if t not in self._end]).strip()
            for row in torch.as_tensor(said).tolist()
        ]

    @property
    def _model(self) -> PreTrainedModel:
        return self._language_model[0]

    def _embed(self, tokens: list[int], like: Tensor) -> Tensor:
        rows: Tensor = self._model.model.embed_tokens(torch.tensor(tokens, device=like.device))
        return rows
