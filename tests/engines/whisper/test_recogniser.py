"""A recogniser is Whisper with other weights: encoder and decoder of the same change, which peft
merges alike, and one line for every file that cannot be used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from calibration.recogniser.lora import add_lora, weights_of, whisper_of
from calibration.recogniser.whisper_model import (
    TrimmedEncoder,
    load_encoder,
    load_whisper,
    silent_tail,
)
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.files import sha256_of
from engines.models.general_speech import read_prompts
from engines.spans import recording
from engines.types import Transcript
from engines.whisper.ctranslate2_file import read_ctranslate2, with_variables
from engines.whisper.encoder import encoder_mel
from engines.whisper.encoder_onnx import onnx_opener
from engines.whisper.recogniser import Recogniser, open_recogniser
from engines.whisper.recogniser_weights import (
    LowRank,
    RecogniserWeights,
    merged_variables,
    read_recogniser,
    write_recogniser,
)
from tests.support.audio_fixtures import noise, prompt

LAYER = "encoder.layers.0.fc1"


def changed(whisper_folder: Path, size: float, rank: int = 4) -> RecogniserWeights:
    """Random changes to every layer."""
    torch.manual_seed(0)
    adapted = add_lora(load_whisper(whisper_folder / "model.bin"), rank=rank)
    for name, value in adapted.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(value, 0.0, size)
    tail = silent_tail(load_encoder(whisper_folder / "model.bin"))
    return weights_of(adapted, tail, sha256_of(whisper_folder / "model.bin"))


@pytest.fixture(scope="module")
def weights(whisper_folder: Path) -> RecogniserWeights:
    return changed(whisper_folder, 0.01)


@pytest.fixture(scope="module")
def recogniser(weights: RecogniserWeights, encoder_path: Path, whisper_folder: Path) -> Recogniser:
    return open_recogniser(weights, onnx_opener(encoder_path, 2), whisper_folder, threads=2)


def test_merged_as_peft_merges(whisper_folder: Path) -> None:
    torch.manual_seed(1)
    adapted = add_lora(load_whisper(whisper_folder / "model.bin"), rank=4)
    for name, value in adapted.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(value, 0.0, 0.05)
    weights = weights_of(adapted, np.zeros((50, 384), np.float32), "")
    merged = dict(merged_variables(weights, read_ctranslate2(whisper_folder / "model.bin")))
    theirs = adapted.merge_and_unload().state_dict()
    stacked = torch.cat(
        [theirs[f"decoder.layers.2.encoder_attn.{kind}_proj.weight"] for kind in "kv"]
    )
    for name, reference in (
        ("encoder/layer_3/ffn/linear_1/weight", theirs["encoder.layers.3.fc2.weight"]),
        ("decoder/layer_2/attention/linear_1/weight", stacked),
    ):
        np.testing.assert_allclose(merged[name], reference.numpy(), rtol=0, atol=1e-5)


def test_frames_as_torch_computes_them(
    weights: RecogniserWeights, recogniser: Recogniser, whisper_folder: Path, general_speech: Path
) -> None:
    mel = encoder_mel(prompt(general_speech, "agent-alreadyon"), 80)
    adapted = add_lora(load_whisper(whisper_folder / "model.bin"), weights)
    stock = load_encoder(whisper_folder / "model.bin")
    with torch.no_grad():
        theirs = TrimmedEncoder(whisper_of(adapted).encoder)(torch.from_numpy(mel)[None])[0]
        unchanged = stock(torch.from_numpy(mel)[None])[0]
    ours = recogniser.encoder.run(mel)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=2e-3)
    assert np.abs(ours - unchanged.numpy()).max() > 0.1


def test_a_small_change_hears_real_speech_nearly_as_before(
    recogniser: Recogniser, general_speech: Path
) -> None:
    transcript = recogniser.transcribe(prompt(general_speech, "agent-alreadyon"))
    assert transcript.text.lower().startswith("that agent is already logged on")
    assert 0.5 < transcript.mean_probability <= 1.0


@pytest.mark.slow
def test_a_large_change_of_either_side_is_heard(
    whisper_folder: Path, encoder_path: Path, general_speech: Path
) -> None:
    broken = changed(whisper_folder, 1.0)
    said = prompt(general_speech, "agent-alreadyon")
    for side in ("encoder", "decoder"):
        changes = {n: one for n, one in broken.changes.items() if n.startswith(side)}
        opened = open_recogniser(
            replace(broken, changes=changes), onnx_opener(encoder_path, 2), whisper_folder, 2
        )
        assert "already logged on" not in opened.transcribe(said).text
    none = open_recogniser(broken.scaled(0.0), onnx_opener(encoder_path, 2), whisper_folder, 2)
    assert "already logged on" in none.transcribe(said).text


def test_long_speech_is_heard_to_its_end(recogniser: Recogniser, general_speech: Path) -> None:
    prompts = [one for one in read_prompts(general_speech) if len(one.text.split()) > 5][:8]
    pause = np.zeros(9600, np.float32)
    said = np.concatenate([part for one in prompts for part in (read_audio(one.audio), pause)])
    steps: list[None] = []
    heard = recogniser.transcribe(said, lambda: steps.append(None)).text.lower()
    assert len(steps) >= 4
    for one in (prompts[0], prompts[-1]):
        last = one.text.lower().rstrip(".").split()[-1]
        assert last in heard


@pytest.mark.parametrize("samples", [np.zeros(32_000, np.float32), noise(2.0, 0.01)])
def test_nothing_is_heard_in_silence(recogniser: Recogniser, samples: np.ndarray) -> None:
    assert recogniser.transcribe(samples).text == ""
    assert recogniser.transcribe(samples[:0]) == Transcript("")


def test_what_is_written_is_read_again(weights: RecogniserWeights, tmp_path: Path) -> None:
    path = tmp_path / "recogniser.safetensors"
    write_recogniser(weights, path)
    found = read_recogniser(path)
    assert found.changes.keys() == weights.changes.keys()
    assert found.whisper_sha256 == weights.whisper_sha256
    np.testing.assert_allclose(found.silent_tail, weights.silent_tail, rtol=1e-3, atol=1e-3)
    change = weights.changes[LAYER]
    np.testing.assert_allclose(found.changes[LAYER].dense, change.dense, rtol=0, atol=1e-3)


def test_the_file_of_another_model_is_one_clear_line(
    weights: RecogniserWeights, encoder_path: Path, whisper_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(AttuneError, match="was made for another speech model"):
        open_recogniser(
            replace(weights, whisper_sha256="0"), onnx_opener(encoder_path, 2), whisper_folder, 1
        )
    other = tmp_path / "encoder.onnx"
    other.write_bytes(encoder_path.read_bytes()[: 1 << 20])
    with pytest.raises(AttuneError, match="was not exported from this speech model"):
        open_recogniser(weights, onnx_opener(other, 1), whisper_folder, 1)
    with pytest.raises(AttuneError, match=r"encoder\.onnx cannot be read"):
        open_recogniser(
            weights, onnx_opener(tmp_path / "gone" / "encoder.onnx", 1), whisper_folder, 1
        )
    unknown = with_variables(
        whisper_folder / "model.bin", [("encoder/none", np.zeros(1, np.float32))]
    )
    with pytest.raises(AttuneError, match="has no variable encoder/none"):
        unknown.__enter__()


NOT_READ = {
    "no half": {f"{LAYER}.lora_A": np.zeros((4, 384), np.float16)},
    "shapes": {
        f"{LAYER}.lora_A": np.zeros((4, 384), np.float16),
        f"{LAYER}.lora_B": np.zeros((1536, 3), np.float16),
    },
    "no linear layer": {
        "encoder.conv1.lora_A": np.zeros((4, 80), np.float16),
        "encoder.conv1.lora_B": np.zeros((384, 4), np.float16),
    },
    "not finite": {
        f"{LAYER}.lora_A": np.full((4, 384), np.nan, np.float16),
        f"{LAYER}.lora_B": np.zeros((1536, 4), np.float16),
    },
}


@pytest.mark.parametrize("problem", NOT_READ)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, problem: str) -> None:
    path = tmp_path / "recogniser.safetensors"
    tail = {"silent_tail": np.zeros((50, 384), np.float16)}
    save_file(NOT_READ[problem] | tail, path, {"whisper_sha256": "0"})
    with pytest.raises(AttuneError, match=problem):
        read_recogniser(path)


def test_a_cut_or_missing_file_is_one_clear_line(
    weights: RecogniserWeights, tmp_path: Path
) -> None:
    path = tmp_path / "recogniser.safetensors"
    with pytest.raises(AttuneError, match="cannot be read"):
        read_recogniser(path)
    write_recogniser(weights, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AttuneError, match="cannot be read"):
        read_recogniser(path)


def test_a_change_of_another_shape_is_one_clear_line(
    weights: RecogniserWeights, whisper_folder: Path
) -> None:
    wide = LowRank(np.zeros((4, 512), np.float32), np.zeros((1536, 4), np.float32))
    other = replace(weights, changes={LAYER: wide})
    with pytest.raises(AttuneError, match=f"changes the layer {LAYER}"):
        dict(merged_variables(other, read_ctranslate2(whisper_folder / "model.bin")))


def test_hearing_is_timed_where_somebody_keeps_a_record(
    recogniser: Recogniser, general_speech: Path
) -> None:
    said = prompt(general_speech, "agent-alreadyon")
    with recording() as spans:
        recogniser.transcribe(said)
    assert [one.name for one in spans][:2] == ["encode", "read"]
    assert all(one.began_at < one.ended_at for one in spans)
    assert spans[0].ended_at <= spans[1].began_at
    recogniser.transcribe(said)
    assert spans[2:] == [one for one in spans[2:] if one.name == "rescore"]
