"""What the default is measured against: BridgeFormer as published, and a projector trained through
the language model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from calibration.bench.baselines.bridgeformer import (
    BridgeFormer,
    BridgeFormerConfig,
    BridgeFormerLink,
    pooling_weights,
)
from calibration.bench.baselines.end_to_end import EndToEnd, StackConfig, StackProjector
from calibration.distillation.gguf_model import dequantize_linears, load_language_model
from calibration.training.loop import Schedule, fit
from calibration.training.samples import Sample, collate, make_sample
from engines.alignment.text_normalisation import spoken_tokens, written_tokens
from engines.llm.sequence import LlamaSequence
from engines.llm.vocabulary import Vocabulary
from tests.support.tiny_llama import write_tiny_llama

TEXTS = ["Turn on the light.", "Call my sister.", "What time is it?"]
WIDTH = 12


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vocabulary, PreTrainedModel]:
    path = write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    language_model = load_language_model(path)
    dequantize_linears(language_model)
    return Vocabulary(path), language_model


@pytest.fixture(scope="module")
def few(tiny: tuple[Vocabulary, PreTrainedModel]) -> list[Sample]:
    """A token is a character in the tiny model, so the words are short."""
    return [sample for text in ("on", "call", "off") if (sample := sample_of(text, 60, tiny[0]))]


@pytest.fixture(scope="module")
def samples(vocabulary: Vocabulary) -> list[Sample]:
    return [sample for text in TEXTS if (sample := sample_of(text, 60, vocabulary))]


def sample_of(text: str, frames: int, vocabulary: Vocabulary) -> Sample | None:
    """Noise that is said to be `text`, a little longer for a longer text."""
    rng = np.random.default_rng(len(text))
    noise = rng.standard_normal((frames + 3 * len(text), WIDTH)).astype(np.float32)
    return make_sample(noise, text, "", vocabulary, 3)


def test_the_torch_model_says_what_llama_cpp_says(vocabulary: Vocabulary, llm_path: Path) -> None:
    """llama.cpp computes activations in 8 bits, so a near tie may fall the other way."""
    language_model = load_language_model(llm_path)
    tokens = vocabulary.tokenize(
        "The capital of France is Paris, and the capital of Italy is Rome. Water is made of"
        " hydrogen and"
    )
    sequence = LlamaSequence(llm_path, 128, 2, None)
    agreed = []
    with torch.no_grad():
        expected = language_model(input_ids=torch.tensor([tokens])).logits[0]
    for position, token in enumerate(tokens):
        sequence.append_tokens([token])
        found = torch.from_numpy(sequence.logits().copy())
        agreed.append(int(found.argmax()) == int(expected[position].argmax()))
        assert (
            torch.nn.functional.kl_div(
                found.log_softmax(0), expected[position].softmax(0), reduction="sum"
            )
            < 0.1
        )
    sequence.close()
    assert sum(agreed) >= len(agreed) - 2


@pytest.mark.parametrize(("length", "vectors"), [(7, 3), (3, 7), (24, 24), (50, 24), (1, 5)])
def test_pooling_is_adaptive_average_pooling(length: int, vectors: int) -> None:
    x = torch.randn(1, length, 5)
    expected = F.adaptive_avg_pool1d(x.transpose(1, 2), vectors).transpose(1, 2)
    padded = torch.cat([x, torch.randn(1, 4, 5)], dim=1)
    found = pooling_weights(torch.tensor([length]), vectors, length + 4) @ padded
    assert torch.allclose(found, expected, atol=1e-6)


def test_bridgeformer_learns_its_texts(vocabulary: Vocabulary, samples: list[Sample]) -> None:
    torch.manual_seed(0)
    config = BridgeFormerConfig(
        WIDTH, vocabulary.width, width=48, heads=2, layers=1, vectors=8, dropout=0.0
    )
    end = vocabulary.tokenize("<|im_end|>", special=True)[0]
    link = BridgeFormerLink(BridgeFormer(config), vocabulary, end)
    for _ in fit(link, lambda _: samples, Schedule(150, 1e9, 3e-3, warmup_steps=3), None):
        pass
    batch = collate(samples)
    with torch.no_grad():
        heard = [
            vocabulary.detokenize(tokens)
            for tokens in link.nearest_tokens(link.projector(batch.stacked, batch.mask))
        ]
    assert heard == [vocabulary.detokenize(spoken_tokens(text, vocabulary)) for text in TEXTS]


def test_end_to_end_loss_is_the_language_models_own(
    tiny: tuple[Vocabulary, PreTrainedModel], few: list[Sample]
) -> None:
    """Against transformers' own loss on one utterance, with the prompt written out."""
    vocabulary, language_model = tiny
    torch.manual_seed(0)
    learner = EndToEnd(
        StackProjector(StackConfig(WIDTH, vocabulary.width, width=32)), vocabulary, language_model
    ).eval()
    batch = collate(few[:1])
    with torch.no_grad():
        found = learner(batch, torch.Generator())["repeat"]
        vectors, _ = learner.projector(batch.stacked, batch.mask)
        before = vocabulary.tokenize("<|im_start|>user\n", special=True)
        asked = vocabulary.tokenize(
            "<|im_end|>\n<|im_start|>user\nRepeat it word for"
            " word.<|im_end|>\n<|im_start|>assistant\n",
            special=True,
        )
        target = vocabulary.tokenize("On" + "<|im_end|>", special=True)  # as a sentence begins
        embed = language_model.model.embed_tokens
        inputs = torch.cat(
            [
                embed(torch.tensor(before)),
                vectors[0],
                embed(torch.tensor(asked)),
                embed(torch.tensor(target)),
            ]
        )
        labels = torch.tensor([-100] * (len(before) + vectors.shape[1] + len(asked)) + target)
        expected = language_model(inputs_embeds=inputs[None], labels=labels[None]).loss
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_end_to_end_teaches_the_projector_alone(
    tiny: tuple[Vocabulary, PreTrainedModel], few: list[Sample]
) -> None:
    vocabulary, language_model = tiny
    torch.manual_seed(0)
    learner = EndToEnd(
        StackProjector(StackConfig(WIDTH, vocabulary.width, width=64)), vocabulary, language_model
    )
    frozen = language_model.model.layers[1].mlp.up_proj.weight.clone()
    losses = [
        run.losses[-1]["repeat"]
        for run in fit(learner, lambda _: few, Schedule(200, 1e9, 3e-3, warmup_steps=3), None)
    ]
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(frozen, language_model.model.layers[1].mlp.up_proj.weight)
    assert not any("layers" in name for name in learner.state_dict())
    together = learner.repeat(collate(few), 12)
    assert together == [learner.repeat(collate([sample]), 12)[0] for sample in few]  # padded or not
    assert len(set(together)) > 1


def test_padding_changes_nothing_end_to_end(
    tiny: tuple[Vocabulary, PreTrainedModel], few: list[Sample]
) -> None:
    vocabulary, language_model = tiny
    torch.manual_seed(0)
    learner = EndToEnd(
        StackProjector(StackConfig(WIDTH, vocabulary.width, width=32)), vocabulary, language_model
    ).eval()
    with torch.no_grad():
        alone = [float(learner(collate([sample]), torch.Generator())["repeat"]) for sample in few]
        together = float(learner(collate(few), torch.Generator())["repeat"])
    counts = [len(written_tokens(sample.tokens.tolist(), vocabulary)) + 1 for sample in few]
    mean = sum(loss * count for loss, count in zip(alone, counts, strict=True)) / sum(counts)
    assert together == pytest.approx(mean, rel=1e-3)
