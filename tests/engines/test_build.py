"""The engines are opened and closed for every round that needs their memory: what they took has to
come back each time."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import gc, sys
from pathlib import Path
from engines.build import open_engines
from engines.device.memory import give_back_freed_memory, trim
from engines.jobs.messages import EngineFiles
from engines.device.memory import proportional_bytes

encoder, whisper, language_model = map(Path, sys.argv[1:])
files = EngineFiles(
    encoder=encoder,
    encoder_weights=whisper,
    language_model=language_model,
    served_language_model=language_model,
)
give_back_freed_memory()
for time in range(4):
    engines = open_engines(files, "Answer briefly.", 512, 2)
    list(engines.language_model.reply("Hello.", 2))
    engines.compute_once()
    engines.close()
    del engines
    gc.collect()
    trim()
    print(proportional_bytes())
"""
MIB = 2**20


@pytest.mark.slow
def test_opened_and_closed_again_and_again_the_engines_leave_nothing(
    encoder_path: Path, whisper_folder: Path, llm_path: Path
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(encoder_path), str(whisper_folder), str(llm_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    _, second, *_, last = map(int, done.stdout.split())
    assert last - second < 12 * MIB  # twice; a vocabulary that stays open is as much each time


RECOGNISER = """
import sys
from pathlib import Path
from calibration.recogniser.start import SHIPPED
from engines.device.memory import proportional_bytes
from engines.whisper.encoder_onnx import onnx_opener
from engines.whisper.recogniser import open_recogniser
from engines.whisper.recogniser_weights import read_recogniser

encoder, whisper = map(Path, sys.argv[1:])
weights = read_recogniser(SHIPPED)
kept = [open_recogniser(weights, onnx_opener(encoder, 1), whisper, 1)]  # with the libraries
before = proportional_bytes()
kept.append(open_recogniser(weights, onnx_opener(encoder, 1), whisper, 1))
print(proportional_bytes() - before)
"""


def test_an_open_recogniser_holds_no_copy_of_its_files(
    encoder_path: Path, whisper_folder: Path
) -> None:
    command = [sys.executable, "-c", RECOGNISER, str(encoder_path), str(whisper_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    files = [encoder_path, whisper_folder / "model.bin"]
    # The encoder in float32 and the decoder in 8 bits are about as large as their files together;
    # how CTranslate2 lays out 8 bits depends on the processor. A copy would be half as large again.
    assert int(done.stdout) < 1.25 * sum(path.stat().st_size for path in files)
