"""Distillation: positions, what is learnt of it, and that a killed run goes on as if nothing had
been."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from calibration.distillation.gguf_model import load_language_model
from calibration.distillation.losses import (
    TEMPERATURE,
    Distillation,
    DistillationSample,
    with_teacher_targets,
)
from calibration.distillation.partial_lora import add_adapter
from calibration.projector.cif import CifConfig, CifProjector
from calibration.projector.embedlink import EmbedLink
from calibration.training.loop import Schedule, fit
from calibration.training.samples import Sample, make_sample, tokens_of
from engines.llm.vocabulary import Vocabulary
from tests.support.tiny_llama import write_tiny_llama

FRAME_WIDTH = 12
BEFORE, AFTER = torch.tensor([1, 20, 21]), torch.tensor([2, 1, 30])
WORDS = ("on", "call", "off")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def vocabulary(path: Path) -> Vocabulary:
    return Vocabulary(path)


@pytest.fixture(scope="module")
def samples(path: Path, vocabulary: Vocabulary) -> list[DistillationSample]:
    model = load_language_model(path)
    replies = np.random.default_rng(0).integers(5, vocabulary.size, (len(WORDS), 6))
    return [
        with_teacher_targets(
            model,
            sample,
            sample.tokens,
            BEFORE,
            AFTER,
            torch.from_numpy(reply),
            most=vocabulary.size,
        )
        for sample, reply in zip(
            [sample_of(text, vocabulary) for text in WORDS], replies, strict=True
        )
    ]


def sample_of(text: str, vocabulary: Vocabulary) -> Sample:
    rng = np.random.default_rng(len(text))
    sample = make_sample(
        rng.standard_normal((40 + 12 * len(text), FRAME_WIDTH)).astype(np.float32),
        text,
        "",
        vocabulary,
        3,
    )
    assert sample is not None
    return sample


def made(
    path: Path, vocabulary: Vocabulary, samples: list[DistillationSample], **weights: float
) -> Distillation:
    torch.manual_seed(0)
    projector = CifProjector(
        CifConfig(FRAME_WIDTH, vocabulary.width, vocabulary.size, width=48, heads=4, dropout=0.0)
    )
    adapted = add_adapter(load_language_model(path), rank=4, dropout=0.0)
    return Distillation(EmbedLink(projector, vocabulary, tokens_of(samples)), adapted, weights)


def losses_of(distillation: Distillation, samples: list[DistillationSample]) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    found = distillation(distillation.collate(samples), generator)
    return {name: float(loss.detach()) for name, loss in found.items()}


def test_a_student_that_reads_the_words_has_nothing_to_learn(
    path: Path,
    vocabulary: Vocabulary,
    samples: list[DistillationSample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever stands where: a position too far to either side would show."""
    distillation = made(path, vocabulary, samples)

    def rows(*_: Tensor) -> Tensor:
        longest = max(len(sample.tokens) for sample in samples)
        found = torch.zeros(len(samples), longest, vocabulary.width)
        for row, sample in zip(found, samples, strict=True):
            row[: len(sample.tokens)] = torch.from_numpy(vocabulary.rows(sample.tokens.numpy()))
        return found

    wrong = losses_of(distillation, samples)
    monkeypatch.setattr(distillation, "soft", rows)
    right = losses_of(distillation, samples)
    assert right["input_kl"] == pytest.approx(0, abs=1e-4)
    assert right["response_kl"] == pytest.approx(0, abs=1e-4)
    assert min(wrong["input_kl"], wrong["response_kl"]) > 0.05


def test_the_teacher_is_asked_before_each_token_of_the_reply(
    path: Path, vocabulary: Vocabulary
) -> None:
    """The first one, too, and nothing past the last: the mask is shifted by one."""
    model = load_language_model(path)
    sample, reply = sample_of("call", vocabulary), torch.tensor([40, 41, 42, 43])
    written = torch.tensor(vocabulary.tokenize("Call!"))
    sample = with_teacher_targets(model, sample, written, BEFORE, AFTER, reply, most=3)

    def expected(words: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = model(torch.cat([BEFORE, words, AFTER, reply])[None]).logits[0] / TEMPERATURE
        values, indices = logits.log_softmax(-1).topk(3)
        return values, indices

    values, indices = expected(written)
    assert torch.equal(sample.reply_targets.tokens, indices[-len(reply) - 1 : -1])
    torch.testing.assert_close(sample.reply_targets.log_probabilities, values[-len(reply) - 1 : -1])
    assert torch.equal(
        sample.word_targets.tokens,
        expected(sample.tokens)[1][len(BEFORE) : len(BEFORE) + len(sample.tokens)],
    )


@pytest.mark.slow
def test_projector_and_adapter_learn_and_the_language_model_does_not(
    path: Path, vocabulary: Vocabulary, samples: list[DistillationSample]
) -> None:
    distillation = made(path, vocabulary, samples)
    frozen = {
        name: value.clone()
        for name, value in distillation.language_model.named_parameters()
        if not value.requires_grad
    }
    schedule = Schedule(60, 1e9, 3e-3, warmup_steps=3)
    runs = [run.losses[-1] for run in fit(distillation, lambda _: list(samples), schedule, None)]
    assert runs[-1]["response_kl"] < 0.7 * runs[0]["response_kl"]
    assert runs[-1]["input_kl"] < 0.7 * runs[0]["input_kl"]
    assert all(
        value.abs().sum() > 0
        for name, value in distillation.adapter.named_parameters()
        if name.endswith("1.default.weight")
    )
    now = dict(distillation.language_model.named_parameters())
    assert all(torch.equal(value, now[name]) for name, value in frozen.items())


@pytest.mark.parametrize("off", ["input_kl", "response_kl"])
def test_every_loss_can_be_switched_off(
    path: Path, vocabulary: Vocabulary, samples: list[DistillationSample], off: str
) -> None:
    named = losses_of(made(path, vocabulary, samples, **{off: 0.0, "response_ce": 0.5}), samples)
    assert off not in named
    assert "response_ce" in named
    alone = made(path, vocabulary, samples, input_kl=0.0, response_kl=0.0)
    assert set(losses_of(alone, samples)) <= set(EmbedLink.loss_weights)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    path: Path, vocabulary: Vocabulary, samples: list[DistillationSample], tmp_path: Path
) -> None:
    def draw(step: int) -> list[Sample]:
        return [samples[step % 3], samples[(step + 1) % 3]]

    def run(stop_after: Callable[[int], bool], checkpoint: Path | None) -> list[dict[str, float]]:
        found = []
        steps = fit(
            made(path, vocabulary, samples),
            draw,
            Schedule(12, 1e9, 3e-3, warmup_steps=3),
            checkpoint,
        )
        for state in steps:
            found = list(state.losses)
            if stop_after(state.step):
                # a generator: the checkpoint is written on the way out
                steps.close()  # type: ignore[attr-defined]
                break
        return found

    undisturbed = run(lambda _: False, None)
    for killed_at in (1, 5, 11):
        checkpoint = tmp_path / f"{killed_at}.safetensors"
        run(lambda step, last=killed_at: step == last, checkpoint)  # type: ignore[misc]
        assert run(lambda _: False, checkpoint) == undisturbed
