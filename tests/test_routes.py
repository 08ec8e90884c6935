"""Both routes behind one interface, and what was heard put into words."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.cif import CifConfig, CifProjector
from calibration.projector_file import export_projector
from engines.encoder_onnx import OnnxEncoder
from engines.projector import OnnxProjector
from engines.readout import Readout
from engines.routes import AlignedRoute, CascadeRoute, Route, all_words_of, words_of
from engines.transcriber import WhisperTranscriber
from engines.types import SoftTokens
from engines.vocabulary import Vocabulary
from tests.audio_fixtures import prompt


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.fixture(scope="module")
def projector(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> OnnxProjector:
    torch.manual_seed(0)
    untrained = CifProjector(CifConfig(384, vocabulary.width, width=48, heads=2, layers_before=1, layers_after=1))
    untrained.heard_tokens = set(vocabulary.tokenize("Turn on the light in the kitchen."))
    path = tmp_path_factory.mktemp("projector") / "projector.onnx"
    export_projector(untrained, path)
    return OnnxProjector(path, threads=1)


def test_the_aligned_route_hears_tokens_that_it_knows(
    encoder_path: Path, projector: OnnxProjector, vocabulary: Vocabulary, general_speech: Path
) -> None:
    route: Route = AlignedRoute(
        OnnxEncoder(encoder_path, 1), None, projector, Readout(vocabulary, projector.heard_tokens, 2), vocabulary
    )
    heard = route.hear(prompt(general_speech, "agent-newlocation"))
    assert isinstance(heard, SoftTokens)
    assert heard.vectors.shape[1] == vocabulary.width
    assert len(heard.vectors) == max(1, round(heard.quantity))
    assert route.name == "aligned"


def test_the_cascade_hears_a_transcript(whisper_folder: Path, general_speech: Path) -> None:
    route: Route = CascadeRoute(WhisperTranscriber(whisper_folder, 1))
    heard = route.hear(prompt(general_speech, "agent-newlocation"))
    assert isinstance(heard, str)
    assert len(heard.split()) >= 3
    assert route.name == "cascade"


def test_words_of_many_are_the_words_of_each(vocabulary: Vocabulary) -> None:
    soft = [SoftTokens(vocabulary.rows(vocabulary.tokenize(text)), 1.0) for text in ("Call Robert.", " Close the curtains. ")]
    heard: list[str | SoftTokens] = ["a transcript", soft[0], "", soft[1]]
    assert all_words_of(heard, vocabulary) == ["a transcript", "Call Robert.", "", "Close the curtains."]
    assert [words_of(words, vocabulary) for words in heard] == all_words_of(heard, vocabulary)
    assert words_of(SoftTokens(np.zeros((0, vocabulary.width), np.float32), 0.0), vocabulary) == ""
