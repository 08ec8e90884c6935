"""A name that the recogniser does not know is heard once it is in the vocabulary, and nothing else
changes; with the real models."""

from pathlib import Path

import pytest

from calibration.recogniser.start import SHIPPED
from calibration.training.opening import open_request_scorer
from engines.jobs.messages import EngineFiles
from engines.routes import Transcriber
from engines.whisper.encoder_onnx import onnx_opener
from engines.whisper.phrases import Phrase, PhraseBook
from engines.whisper.recogniser import open_recogniser
from engines.whisper.recogniser_weights import read_recogniser
from engines.whisper.transcriber import WhisperTranscriber
from tests.support.audio_fixtures import flite

NAMES = PhraseBook([Phrase(text=name) for name in ("Rammstein", "Ludmilla", "metoprolol")])


@pytest.fixture(scope="module", params=["base recogniser", "as it serves", "Whisper as it came"])
def transcriber(
    request: pytest.FixtureRequest,
    encoder_path: Path,
    whisper_folder: Path,
    engine_files: EngineFiles,
) -> Transcriber:
    if request.param == "Whisper as it came":
        return WhisperTranscriber(whisper_folder, threads=2)
    return open_recogniser(
        read_recogniser(SHIPPED),
        onnx_opener(encoder_path, 2),
        whisper_folder,
        threads=2,
        score_texts=(
            open_request_scorer(engine_files, 2) if request.param == "as it serves" else None
        ),
    )


def test_a_name_is_heard_where_it_was_said(transcriber: Transcriber) -> None:
    spoken = flite("Play some Rammstein.")
    assert "rammstein" not in transcriber.transcribe(spoken).text.lower()
    assert "rammstein" in transcriber.transcribe(spoken, phrases=NAMES).text.lower()


def test_nothing_else_changes(transcriber: Transcriber) -> None:
    for text in ("Turn on the light in the kitchen.", "What is the weather like tomorrow?"):
        spoken = flite(text)
        without, known = (
            transcriber.transcribe(spoken),
            transcriber.transcribe(spoken, phrases=NAMES),
        )
        assert known.text == without.text
