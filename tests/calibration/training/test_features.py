"""What a recogniser makes of a recording is cached under its own name."""

from pathlib import Path

import numpy as np
import pytest

from calibration.recogniser.start import SHIPPED
from calibration.training.features import Features
from engines.jobs.messages import EngineFiles, Example
from engines.models.general_speech import read_prompts, retention_set


@pytest.fixture
def example(general_speech: Path) -> Example:
    prompt = retention_set(read_prompts(general_speech))[0]
    return Example(id="said", audio=prompt.audio, text=prompt.text, origin="enrolled")


def test_two_recognisers_share_nothing(
    engine_files: EngineFiles, tmp_path: Path, example: Example
) -> None:
    whisper, base = (Features(engine_files, tmp_path, 2, path) for path in (None, SHIPPED))
    assert whisper.frames(example).shape == base.frames(example).shape
    assert np.abs(whisper.frames(example) - base.frames(example)).max() > 0.1
    for features in (whisper, base):
        assert features.first_pass(example).text
        assert features.transcript(example).text
    assert len(list(tmp_path.iterdir())) == 6


def test_what_is_there_opens_no_engine(
    engine_files: EngineFiles, tmp_path: Path, example: Example
) -> None:
    made = Features(engine_files, tmp_path, 2, SHIPPED)
    expected = made.frames(example), made.first_pass(example), made.transcript(example)
    again = Features(
        engine_files.model_copy(update={"encoder": tmp_path / "gone.onnx"}), tmp_path, 2, SHIPPED
    )
    assert np.array_equal(again.frames(example), expected[0])
    assert (again.first_pass(example), again.transcript(example)) == expected[1:]
