"""A round that trains the personal recogniser, too: chosen by what it helps, judged, written, and
served by the cascade."""

from pathlib import Path

import pytest
import soundfile

from calibration.corpus.demo_speakers import ATYPICAL_VOICE
from calibration.corpus.judged_requests import ENROLLED
from calibration.corpus.synthesis import speak
from calibration.round.folder import RoundFolder
from engines.build import open_engines
from engines.generations.card import Card
from engines.generations.folder import read_generation, write_generation
from engines.jobs.messages import AdaptJob, EngineFiles, Example, RecogniserRecipe
from engines.models.general_speech import read_prompts, retention_set
from engines.types import SAMPLE_RATE_HZ
from engines.whisper.recogniser import Recogniser
from tests.support.calibration_child import run

ROOMS, GENERAL = ENROLLED.rooms, slice(4, 10)
"""Prompts that the base recogniser hears as well as Whisper as it came."""


@pytest.fixture
def job(
    tmp_path: Path,
    untrained_generations: Path,
    general_speech: Path,
    engine_files: EngineFiles,
) -> AdaptJob:
    texts = [f"Turn on the {room} light." for room in ROOMS]
    texts += [f"Call {person}, please." for person in ENROLLED.people]
    texts += [f"Add {thing} to my shopping list." for thing in ENROLLED.things]
    texts += [f"Is it warm in the {room}?" for room in ROOMS[:2]]
    examples = []
    for index, text in enumerate(texts):
        audio = tmp_path / f"{index}.wav"
        soundfile.write(audio, speak(text, ATYPICAL_VOICE), SAMPLE_RATE_HZ)
        held_out = index % 7 == 3
        examples.append(
            Example(id=f"u{index}", audio=audio, text=text, origin="enrolled", holdout=held_out)
        )
    root = tmp_path / "generations"
    root.mkdir()
    (root / "0000").symlink_to(untrained_generations / "0000")
    folder = tmp_path / "jobs" / "0001"
    folder.mkdir(parents=True)
    general = retention_set(read_prompts(general_speech))[GENERAL]
    return AdaptJob(
        folder=folder,
        generations=root,
        number=1,
        parent=0,
        engines=engine_files,
        features=tmp_path / "features",
        examples=examples,
        general=[
            Example(id=f"general-{p.name}", audio=p.audio, text=p.text, origin="enrolled")
            for p in general
        ],
        system_prompt="Answer briefly.",
        training_seconds=1.0,
        recogniser=RecogniserRecipe(seconds=40.0, learning_rate=1e-3),
        reply_utterances=0,
        threads=2,
    )


@pytest.mark.slow
def test_a_round_without_a_projector_trains_and_judges_the_recogniser_alone(
    job: AdaptJob, general_speech: Path
) -> None:
    """As with a speech model that there is no base projector for."""
    (job.generations / "0000").unlink()
    write_generation(job.generations, 0, Card(number=0, parent=None, created_at="", recipe="t"), {})
    prompts = retention_set(read_prompts(general_speech))[4:26]  # enough to fit a confidence to
    general = [
        Example(id=f"general-{p.name}", audio=p.audio, text=p.text, origin="enrolled")
        for p in prompts
    ]
    job = job.model_copy(update={"trains_projector": False, "general": general})
    status, lines = run(job)
    assert (status, lines[-1].stage, lines[-1].note) == (0, "done", "1")
    assert list(dict.fromkeys(line.stage for line in lines)) == [
        *("hear", "recognise", "choose", "encode", "judge", "done")
    ]
    assert not list(job.features.glob("*.npy")), "nobody would read frames"
    generation = read_generation(job.generations / "0001")
    card = generation.card
    assert (generation.projector, card.projector_left_out) == (None, "")
    assert card.files.keys() == {"recogniser.safetensors"}
    for judged in (card.holdout, card.general):
        assert judged is not None
        assert judged.candidate == judged.recogniser
        assert judged.current == judged.cascade
    assert card.transcript_confidence is not None
    assert card.holdout is not None
    assert card.holdout.candidate.word_error_rate < card.holdout.current.word_error_rate
    # The next one starts from it.
    again = job.model_copy(update={"folder": job.folder.parent / "0002", "number": 2, "parent": 1})
    again.folder.mkdir()
    status, lines = run(again)
    assert status == 0, lines[-1].note
    second = read_generation(job.generations / "0002").card
    assert second.holdout is not None
    assert second.holdout.current == second.holdout.current_recogniser


@pytest.mark.slow
def test_a_recogniser_is_trained_chosen_judged_and_served(job: AdaptJob) -> None:
    status, lines = run(job)
    assert (status, lines[-1].stage, lines[-1].note) == (0, "done", "1")
    stages = list(dict.fromkeys(line.stage for line in lines))
    assert stages[:4] == ["hear", "recognise", "choose", "encode"]
    notes = [line.note for line in lines if line.stage == "choose"]
    assert [note.split(":")[0] for note in notes[:-1]] == [
        "before",
        *(f"share {share}" for share in ("1", "0.6", "0")),
    ]
    generation = read_generation(job.generations / "0001")
    card = generation.card
    assert card.holdout is not None
    assert card.general is not None
    assert card.recogniser_share is not None, notes
    assert card.recogniser_left_out == ""
    base = read_generation(job.generations / "0000").card
    kept_projector = card.files["projector.onnx"] == base.files["projector.onnx"]
    assert kept_projector == (card.projector_left_out != "")
    assert card.holdout.recogniser is not None
    assert card.holdout.recogniser.word_error_rate < card.holdout.cascade.word_error_rate
    assert card.holdout.current_recogniser is None
    assert card.general.recogniser is not None
    assert all(one.recogniser is not None for one in card.holdout.utterances)
    assert card.transcript_confidence is None, "there were too few to fit it to"
    assert {"tokens", "contrast"} <= card.losses.keys()
    assert {"recognise", "choose"} <= card.stage_peak_bytes.keys()
    engines = open_engines(job.engines, job.system_prompt, 512, threads=2)
    try:
        served = engines.transcriber_of(generation)
        assert isinstance(served, Recogniser)
        assert engines.transcriber_of(generation) is served, "opened once"
        route = engines.aligned(generation, False)
        assert route.recogniser is served
        assert engines.transcriber_of(read_generation(job.generations / "0000")) is not served
    finally:
        engines.close()
    # The next round starts from it. It is left out where it does not help, and stays as it is.
    again = job.model_copy(
        update={
            "folder": job.folder.parent / "0002",
            "number": 2,
            "parent": 1,
            "recogniser": RecogniserRecipe(seconds=2.0, learning_rate=0.2),
            "trains_projector": False,
        }
    )
    again.folder.mkdir()
    status, lines = run(again)
    assert status == 0, lines[-1].note
    second = read_generation(job.generations / "0002")
    assert second.card.recogniser_share is None
    assert "it " in second.card.recogniser_left_out
    assert not RoundFolder(again.folder).recogniser.exists()
    assert second.card.files["recogniser.safetensors"] == card.files["recogniser.safetensors"]
    assert second.card.holdout is not None
    assert second.card.holdout.recogniser == second.card.holdout.current_recogniser
    assert second.card.projector_left_out == "its training is off"
    assert second.card.files["projector.onnx"] == card.files["projector.onnx"]
    assert second.card.confidence == card.confidence
