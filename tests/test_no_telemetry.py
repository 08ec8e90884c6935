"""Libraries that would tell somebody what is done here are kept from it, in every process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPENINGS = {
    "the voice activity detector": "from engines.audio.vad import SileroVad; SileroVad()",
    "the transcriber": (
        "from engines.whisper.transcriber import WhisperTranscriber;"
        " WhisperTranscriber(Path(sys.argv[1]), 1)"
    ),
    "the quantizer": (
        "import calibration.export.encoder_precision; import onnxruntime;"
        " onnxruntime.get_available_providers()"
    ),
    "the training child": (
        "import calibration.__main__, onnxruntime; onnxruntime.get_available_providers()"
    ),
    "the command line": (
        "import daemon.cli.__main__, onnxruntime; onnxruntime.get_available_providers()"
    ),
}


@pytest.mark.parametrize("opening", OPENINGS)
def test_nothing_is_noted_for_anybody(opening: str, tmp_path: Path, whisper_folder: Path) -> None:
    """ONNX Runtime's client keeps a number of this machine and what is still to be sent under the
    home of who runs it."""
    told = ("ORT_", "HF_", "DO_NOT_TRACK", "CI", "XDG_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    code = f"import sys; from pathlib import Path; {OPENINGS[opening]}"
    command = [sys.executable, "-c", code, str(whisper_folder)]
    subprocess.run(command, check=True, env={**environment, "HOME": str(tmp_path)}, timeout=600)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
