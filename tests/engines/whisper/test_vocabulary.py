"""A name that the recogniser does not know is heard once it is in the vocabulary, and nothing else
changes; with the real models."""

import weakref
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from calibration.recogniser.start import SHIPPED
from calibration.training.opening import open_request_scorer
from engines.jobs.messages import EngineFiles
from engines.routes import Transcriber
from engines.types import FRAME_SECONDS
from engines.whisper.encoder_onnx import onnx_opener
from engines.whisper.phrases import Phrase, PhraseBook
from engines.whisper.recogniser import open_recogniser
from engines.whisper.recogniser_weights import read_recogniser
from engines.whisper.transcriber import WhisperTranscriber
from engines.whisper.window_decoder import TAIL_FRAMES
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


def test_a_sentence_with_a_phrase_is_as_likely_as_the_beam_says(
    encoder_path: Path, whisper_folder: Path
) -> None:
    """The likelihood of given words and of the end that is found make up that of the whole, but for
    the rounding of 8 bits and the symbols that a beam never writes."""
    encoder = onnx_opener(encoder_path, 2)(nullcontext)
    windows = WhisperTranscriber(whisper_folder, threads=2).windows
    frames = encoder.encode(flite("Turn on the light in the kitchen."))
    window = np.concatenate([frames, encoder.encode_silent_window()[-TAIL_FRAMES:]])
    seconds = len(frames) * FRAME_SECONDS
    best = windows.n_best(window, seconds, 5)[0]
    assert "kitchen" in best.text
    misheard = best.text.replace("light", "bite")
    found = windows.with_phrases(window, seconds, misheard, ["light", "Rammstein"], 6)
    assert 0 < len(found) <= 6
    assert all("light" in one.text or "Rammstein" in one.text for one in found)
    [same] = [one for one in found if one.text == best.text]
    assert same.log_likelihood == pytest.approx(best.log_likelihood, abs=0.3)
    assert same.tokens == best.tokens
    assert all(one.log_likelihood <= best.log_likelihood + 0.3 for one in found)
    assert windows.with_phrases(window, seconds, misheard, ["light"], 0) == []


def test_a_transcriber_that_is_let_go_is_freed_at_once(whisper_folder: Path) -> None:
    transcriber = WhisperTranscriber(whisper_folder, threads=1)
    transcriber.windows.count_tokens("Call Siobhan.")
    windows = weakref.ref(transcriber.windows)
    del transcriber
    assert windows() is None
