"""The personal recogniser as a learner: Whisper with low-rank layers, and its loss on windows that
are trimmed to the utterance."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F

from engines.types import Float32

from ..training.learner import Learner
from .lora import whisper_of
from .samples import IGNORED, SpokenBatch, SpokenSample, collate, masked
from .whisper_model import TrimmedEncoder

LABEL_SMOOTHING = 0.05


class RecogniserLearner(Learner[SpokenSample, SpokenBatch]):
    """Whisper with low-rank layers, which alone are trained."""

    loss_weights: ClassVar = {"tokens": 1.0}
    silent_tail: Tensor
    """[1, 50, D] the frames that follow each utterance's own."""

    def __init__(self, adapted: PeftModel, silent_tail: Float32) -> None:
        super().__init__()
        self.adapted = adapted
        self.register_buffer(
            "silent_tail", torch.from_numpy(silent_tail).unsqueeze(0), persistent=False
        )

    @property
    def anchored(self) -> PeftModel:
        return self.adapted

    def collate(self, samples: Sequence[SpokenSample]) -> SpokenBatch:
        return collate(samples)

    def forward(self, batch: SpokenBatch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"tokens": self.loss(masked(batch, generator), LABEL_SMOOTHING)}

    def loss(self, batch: SpokenBatch, label_smoothing: float = 0.0) -> Tensor:
        """The mean cross entropy of the labels' tokens, in nats."""
        whisper = whisper_of(self.adapted)
        frames = TrimmedEncoder(whisper.encoder)(batch.mel)
        tail = self.silent_tail.expand(len(frames), -1, -1)
        hidden = whisper.decoder(
            input_ids=batch.inputs,
            encoder_hidden_states=torch.cat([frames, tail], 1),
            use_cache=False,
        ).last_hidden_state
        wanted = batch.labels != IGNORED
        logits = F.linear(hidden[wanted], whisper.decoder.embed_tokens.weight)
        return F.cross_entropy(logits, batch.labels[wanted], label_smoothing=label_smoothing)
