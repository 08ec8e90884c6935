"""What a round takes, measured on real stages: figures that a plan can rest on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calibration.jobs.measure_footprints import fit_slopes
from engines.jobs.calibration_jobs import FootprintJob
from engines.jobs.footprints import read_footprints
from engines.jobs.messages import EngineFiles, Example, Progress
from engines.models.general_speech import read_prompts, retention_set
from tests.support.untrained_base import write_untrained_base

MIB = 2**20


POSITIONS = np.array([1200.0, 10_000.0, 10_000.0, 1200.0])
RANKS = np.array([16.0, 16.0, 16.0, 64.0])


@pytest.mark.parametrize(("per_position", "per_rank"), [(22.0, 5.0), (0.0, 5.0), (22.0, 0.0)])
def test_noise_never_makes_long_utterances_or_high_ranks_smaller(
    per_position: float, per_rank: float
) -> None:
    varying = {"bytes_per_position": POSITIONS, "bytes_per_rank": RANKS}
    levels = 700.0 + per_position * POSITIONS + per_rank * RANKS
    exact = fit_slopes(varying, levels)
    assert exact == pytest.approx({"bytes_per_position": per_position, "bytes_per_rank": per_rank})
    noisy = fit_slopes(varying, levels + np.array([9000.0 * (per_position == 0), 0, 0, 0]))
    assert min(noisy.values()) >= 0


@pytest.mark.slow
def test_stages_are_measured_and_longer_utterances_take_more(
    tmp_path: Path, general_speech: Path, encoder_path: Path, whisper_folder: Path, llm_path: Path
) -> None:
    files = EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    prompts = retention_set(read_prompts(general_speech))[:8]
    job = FootprintJob(
        folder=tmp_path,
        output=tmp_path / "footprints.json",
        engines=files,
        base=write_untrained_base(tmp_path, files) / "0000",
        features=tmp_path / "features",
        recordings=[
            Example(id=p.name, audio=p.audio, text=p.text, origin="enrolled", seconds=4.0)
            for p in prompts
        ],
        system_prompt="Answer briefly.",
        lengths_seconds=[3.0, 25.0],
        distils=True,
    )
    (tmp_path / "features" / "replay").mkdir(parents=True)
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "calibration", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5000, check=False)
    assert done.returncode == 0, Progress.model_validate_json(done.stdout.splitlines()[-1]).note
    (found,) = read_footprints(job.output)
    assert list(found.stages) == [
        "hear",
        "encode",
        "train",
        "lessons",
        "distil",
        "export",
        "judge",
    ]
    assert found.frame_width == 384
    assert found.answering_bytes > 0
    assert all(100 * MIB < one.beside_bytes <= one.alone_bytes for one in found.stages.values())
    assert found.stages["train"].bytes_per_position > 0
    assert found.stages["distil"].bytes_per_position >= 0
    assert found.stages["distil"].bytes_per_rank > 0
    assert found.stages["train"].bytes_per_rank == 0
    assert found.stages["train"].micro_batches_bytes > 0
    judge = found.stages["judge"]
    # What else the machine does may take more time than longer utterances do.
    assert judge.seconds > 0
    assert min(judge.seconds_per_utterance, judge.seconds_per_audio_second) >= 0
    assert not (tmp_path / "rounds").exists()
