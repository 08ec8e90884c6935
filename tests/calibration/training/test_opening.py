"""A round hears as the daemon serves."""

from pathlib import Path

from calibration.recogniser.start import SHIPPED
from calibration.training.opening import key_of, open_file, open_request_scorer
from engines.build import open_engines
from engines.generations.card import Card
from engines.generations.folder import write_generation
from engines.jobs.messages import EngineFiles
from engines.whisper.recogniser import Recogniser
from tests.support.audio_fixtures import flite


def test_a_recogniser_hears_in_a_round_what_it_hears_in_service(
    engine_files: EngineFiles, tmp_path: Path
) -> None:
    card = Card(number=0, parent=None, created_at="", recipe="base")
    generation = write_generation(tmp_path, 0, card, {"recogniser.safetensors": SHIPPED})
    in_a_round = open_file(generation.recogniser, engine_files, 2)
    engines = open_engines(engine_files, "Answer briefly.", 512, threads=2)
    try:
        served = engines.transcriber_of(generation)
        assert isinstance(served, Recogniser)
        assert served.score_texts is not None
        doubted = 0
        for text in ("Warn me when the oven is hot.", "Rammstein plays metoprolol, Ludmilla."):
            spoken = flite(text)
            heard = served.transcribe(spoken)
            assert in_a_round.transcribe(spoken).text == heard.text
            doubted += heard.mean_probability < 0.9
        assert doubted, "else the language model had no word"
    finally:
        engines.close()


def test_the_language_model_has_no_word_in_another_language(engine_files: EngineFiles) -> None:
    german = engine_files.model_copy(update={"language": "de"})
    assert open_request_scorer(german, 2) is None
    assert open_request_scorer(engine_files, 2) is not None
    assert key_of(SHIPPED, german) == f"{key_of(SHIPPED, engine_files)}-de"
