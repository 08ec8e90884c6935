"""The recogniser learns from trimmed windows, and its loss is transformers' own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from calibration.recogniser.learner import RecogniserLearner
from calibration.recogniser.lora import add_lora, weights_of
from calibration.recogniser.samples import IGNORED, Labels, SpokenSample, collate, masked
from calibration.recogniser.whisper_model import TrimmedEncoder, load_whisper, silent_tail
from calibration.training.loop import Schedule, fit
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.models.general_speech import read_prompts
from engines.types import Float32
from engines.whisper.encoder import encoder_mel


@pytest.fixture(scope="module")
def labels(whisper_folder: Path) -> Labels:
    return Labels(whisper_folder)


@pytest.fixture(scope="module")
def samples(general_speech: Path, labels: Labels) -> list[SpokenSample]:
    found = [
        labels.sample(encoder_mel(read_audio(one.audio), 80), one.text)
        for one in read_prompts(general_speech)[:4]
    ]
    return [one for one in found if one is not None]


@pytest.fixture(scope="module")
def tail(whisper_folder: Path) -> Float32:
    return silent_tail(TrimmedEncoder(load_whisper(whisper_folder / "model.bin").encoder))


def learner(whisper_folder: Path, tail: Float32) -> RecogniserLearner:
    torch.manual_seed(0)
    return RecogniserLearner(add_lora(load_whisper(whisper_folder / "model.bin"), rank=4), tail)


def test_the_loss_is_transformers_own(
    whisper_folder: Path, samples: list[SpokenSample], tail: Float32
) -> None:
    whisper = load_whisper(whisper_folder / "model.bin")
    whole = WhisperForConditionalGeneration(whisper.config)
    whole.model = whisper
    whole.tie_weights()
    batch = collate(samples[:1])
    with torch.no_grad():
        frames = TrimmedEncoder(whisper.encoder)(batch.mel)
        found = whole(
            encoder_outputs=(torch.cat([frames, torch.from_numpy(tail)[None]], 1),),
            decoder_input_ids=batch.inputs,
            labels=batch.labels,
        )
        ours = learner(whisper_folder, tail).eval().loss(batch)
    assert float(ours) == pytest.approx(float(found.loss), abs=1e-4)
    assert float(ours) < 2.0  # it is a real model that hears real speech


def test_it_learns_a_wrong_label_and_nothing_else_changes(
    whisper_folder: Path, labels: Labels, samples: list[SpokenSample], tail: Float32, tmp_path: Path
) -> None:
    wrong = labels.sample(samples[0].mel.numpy().T, "Purple elephants dance.")
    assert wrong is not None
    trained = learner(whisper_folder, tail)
    before = float(trained.loss(collate([wrong])).detach())
    frozen = {
        name: value.detach().clone()
        for name, value in trained.named_parameters()
        if not value.requires_grad
    }
    schedule = Schedule(6, 1e9, 3e-3, warmup_steps=1)
    *_, run = fit(trained, lambda step: [wrong], schedule, tmp_path / "checkpoint")
    assert run.step == 6
    assert float(trained.loss(collate([wrong])).detach()) < before / 2
    assert all(torch.equal(trained.get_parameter(name), frozen[name]) for name in frozen)
    assert (tmp_path / "checkpoint").stat().st_size < 10e6  # Whisper itself is not in it


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint(
    whisper_folder: Path, samples: list[SpokenSample], tail: Float32, tmp_path: Path
) -> None:
    schedule = Schedule(4, 1e9, 1e-3, warmup_steps=1)

    def draw(step: int) -> list[SpokenSample]:
        return samples[step % 2 : step % 2 + 2]

    whole = learner(whisper_folder, tail)
    for _ in fit(whole, draw, schedule, None):
        pass
    first, second = learner(whisper_folder, tail), learner(whisper_folder, tail)
    for run in fit(first, draw, schedule, tmp_path / "checkpoint"):
        if run.step == 2:
            break
    for _ in fit(second, draw, schedule, tmp_path / "checkpoint"):
        pass
    expected = weights_of(whole.adapted, tail, "").changes
    for name, change in weights_of(second.adapted, tail, "").changes.items():
        np.testing.assert_allclose(change.dense, expected[name].dense, rtol=0, atol=1e-6)


def test_a_run_starts_from_weights(whisper_folder: Path, tail: Float32) -> None:
    torch.manual_seed(0)
    adapted = add_lora(load_whisper(whisper_folder / "model.bin"), rank=3)
    for name, value in adapted.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(value, 0.0, 0.1)
    start = weights_of(adapted, tail, "")
    again = weights_of(add_lora(load_whisper(whisper_folder / "model.bin"), start), tail, "")
    for name, change in start.changes.items():
        np.testing.assert_allclose(again.changes[name].dense, change.dense, rtol=0, atol=1e-6)
    left = {name: one for name, one in start.changes.items() if not name.endswith("fc1")}
    with pytest.raises(AttuneError, match=r"other layers \(decoder\.layers\.0\.fc1\)"):
        add_lora(load_whisper(whisper_folder / "model.bin"), replace(start, changes=left))


def test_a_batch_is_padded_and_its_prompt_is_no_label(samples: list[SpokenSample]) -> None:
    batch = collate(samples)
    assert batch.mel.shape[2] % 64 == 0
    assert batch.mel.shape[2] >= int(batch.columns.max())
    for row, sample in enumerate(samples):
        said = sample.tokens[sample.prompt :]
        found = batch.labels[row][batch.labels[row] != IGNORED]
        assert torch.equal(found, said)
        assert torch.equal(batch.inputs[row][: len(sample.tokens) - 1], sample.tokens[:-1])


def test_masks_hide_a_part_alone(samples: list[SpokenSample]) -> None:
    batch = collate(samples)
    hidden = masked(batch, torch.Generator().manual_seed(3))
    assert torch.equal(hidden.mel, masked(batch, torch.Generator().manual_seed(3)).mel)
    changed = (hidden.mel != batch.mel).float().mean()
    assert 0 < float(changed) < 0.5


@pytest.mark.parametrize("text", ["", "  ", "word " * 200])
def test_labels_without_words_or_with_too_many_are_left_out(labels: Labels, text: str) -> None:
    assert labels.sample(np.zeros((80, 100), np.float32), text) is None
