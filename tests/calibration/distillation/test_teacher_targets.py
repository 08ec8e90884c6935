"""Distillation samples are made once, kept, and the same when they come from the disk."""

from pathlib import Path
from typing import Any

import pytest
import torch

from calibration.distillation.gguf_model import load_language_model
from calibration.distillation.teacher_targets import (
    INSTRUCTIONS,
    REPLY_TOKENS,
    DistillationSampleMaker,
)
from engines.jobs.messages import LEAST_DISTILLATION_EXAMPLES, DistilRecipe, Example
from engines.llm.chat_model import LlamaCppLanguageModel
from engines.llm.vocabulary import Vocabulary
from tests.calibration.distillation.test_losses import sample_of
from tests.support.fake_child import make_job
from tests.support.tiny_llama import END, write_tiny_llama


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers anything that ends a turn with "o", and goes on with "k", then the end."""
    return write_tiny_llama(
        tmp_path_factory.mktemp("tiny") / "tiny.gguf",
        next_token={"\u010a": "o", "o": "k", "k": END},
        context_tokens=512,
    )


class Opened:
    """Counts how often the teacher is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return load_language_model(self.path)


def maker(
    path: Path, folder: Path, opened: Opened, about: str = "a model"
) -> DistillationSampleMaker:
    vocabulary = Vocabulary(path)
    return DistillationSampleMaker(
        vocabulary,
        LlamaCppLanguageModel(path, vocabulary, "Be brief.", 512, 1),
        opened,
        about,
        folder,
    )


def test_a_sample_is_a_turn_of_the_conversation(path: Path, tmp_path: Path) -> None:
    opened = Opened(path)
    made = maker(path, tmp_path, opened)
    sample = sample_of("call", made.vocabulary)
    plain, asked = made.make(sample, "call", INSTRUCTIONS[:2])
    around = made.writer.turn_tokens
    assert plain.before.tolist() == asked.before.tolist() == around.opening
    assert plain.after.tolist() == around.closing
    assert (
        made.vocabulary.detokenize(asked.after.tolist()[: -len(around.closing)])
        == f"\n{INSTRUCTIONS[1]}"
    )
    assert made.vocabulary.detokenize(plain.reply.tolist()[:-1]) == "ok"
    assert (
        plain.reply.tolist()[-1]
        == around.between[0]
        == made.vocabulary.tokenize(END, special=True)[0]
    )
    assert len(plain.reply_targets.tokens) == len(plain.reply) <= REPLY_TOKENS
    assert len(plain.word_targets.tokens) == len(plain.tokens)
    assert torch.equal(plain.reply_targets.tokens[:, 0], plain.reply), (
        "it expects what it says itself"
    )


def test_what_is_on_the_disk_is_not_made_again(path: Path, tmp_path: Path) -> None:
    opened = Opened(path)
    first = maker(path, tmp_path, opened)
    sample = sample_of("call", first.vocabulary)
    [made] = first.make(sample, "call", [""])
    again = maker(path, tmp_path, opened)
    [kept] = again.make(sample, "call", [""])
    assert opened.times == 1
    for name in ("reply", "before", "after"):
        assert torch.equal(getattr(kept, name), getattr(made, name))
    for name in ("word_targets", "reply_targets"):
        assert torch.equal(getattr(kept, name).tokens, getattr(made, name).tokens)
        assert torch.equal(
            getattr(kept, name).log_probabilities, getattr(made, name).log_probabilities
        )
    maker(path, tmp_path, opened, "another model").make(sample, "call", [""])
    assert opened.times == 2
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    [mended] = maker(path, tmp_path, opened).make(sample, "call", [""])
    assert opened.times == 3
    assert torch.equal(mended.reply_targets.log_probabilities, made.reply_targets.log_probabilities)


def test_samples_are_made_of_as_many_utterances_as_distillation_has_seconds(tmp_path: Path) -> None:
    examples = [
        Example(
            id=f"{(number * 7919) % 5000:04d}",
            audio=tmp_path,
            text="",
            origin="enrolled",
            holdout=number % 8 == 0,
        )
        for number in range(5000)
    ]
    job = make_job(tmp_path).model_copy(update={"examples": examples})
    assert job.distillation_examples == []
    for seconds, most in ((1.0, LEAST_DISTILLATION_EXAMPLES), (180.0, 180), (36_000.0, 4375)):
        examples = job.model_copy(
            update={"distil": DistilRecipe(seconds=seconds)}
        ).distillation_examples
        assert len(examples) == most
        assert not any(example.holdout for example in examples)
        assert [example.id for example in examples] == sorted(example.id for example in job.learnt)[
            :most
        ]
