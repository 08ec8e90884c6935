"""`attune bench memory` measures real steps through a model in 4 bits, and says what cannot be
measured."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from typer.testing import CliRunner

from calibration.bench.random_model import SHAPES, ModelShape, random_blocks, write_random_model
from daemon.cli.bench.command import app
from engines.errors import AttuneError
from engines.jobs.bench_figures import MemoryFigures
from engines.llm.gguf_file import map_tensors, metadata


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.Q4_0, Kind.Q8_0, Kind.Q4_K, Kind.Q6_K])
def test_random_weights_have_the_spread_that_was_asked_for(tmp_path: Path, kind: Kind) -> None:
    shape = ModelShape("llama", 256, 2, 4, 2, 64, 512, 300)
    stored = map_tensors(write_random_model(tmp_path / "model.gguf", shape, kind, kind, scale=0.02))
    for name in ("blk.0.ffn_up.weight", "blk.1.attn_k.weight"):
        values = stored[name].rows(slice(None))
        assert abs(values.mean()) < 0.004
        assert values.std() == pytest.approx(0.02, rel=0.3)


def test_shapes_are_those_of_the_models_they_are_named_after(tmp_path: Path) -> None:
    """Against the sizes that their makers publish."""
    shape = SHAPES["llama-3.2-1b"]
    attended = shape.width * (2 * shape.heads + 2 * shape.kv_heads) * shape.head_width
    whole = (
        shape.layers * (attended + 3 * shape.width * shape.feed_forward)
        + shape.vocabulary * shape.width
    )
    assert whole == pytest.approx(1.235e9, rel=0.01)
    path = write_random_model(
        tmp_path / "small.gguf", ModelShape("qwen3", 256, 1, 2, 1, 128, 256, 300), seed=3
    )
    assert metadata(path)["qwen3.attention.key_length"] == 128


def test_rows_that_are_no_whole_blocks_are_refused() -> None:
    with pytest.raises(
        AttuneError, match="rows of 300 are not whole blocks of Q4_K, which have 256"
    ):
        random_blocks(np.random.default_rng(0), 2, 300, Kind.Q4_K, 0.02)
    with pytest.raises(AttuneError, match="IQ4_NL are not drawn"):
        random_blocks(np.random.default_rng(0), 2, 256, Kind.IQ4_NL, 0.02)


def test_the_peak_is_what_was_touched() -> None:
    """In a process of its own: this one's peak is what some other test left."""
    program = """
import numpy as np
from engines.device.memory import peak_resident_bytes
before = peak_resident_bytes()
touched = np.ones(200 * 2**20, np.uint8)
del touched
print(peak_resident_bytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 150 * 2**20 < int(done.stdout) < 300 * 2**20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--positions", "many"], "--positions many is not a list of numbers"),
        (["--positions", "8"], "each must be from 16 to 4096"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(options: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["memory", *options])
    assert isinstance(result.exception, AttuneError)
    assert told in str(result.exception)


@pytest.mark.slow
def test_steps_through_a_model_of_a_billion_weights(tmp_path: Path) -> None:
    options = [
        "--shapes",
        "llama-3.2-1b",
        "--positions",
        "64",
        "--steps",
        "1",
        "--out",
        str(tmp_path),
        "--json",
    ]
    result = CliRunner().invoke(app, ["memory", *options])
    assert result.exit_code == 0, result.output
    [run] = MemoryFigures.model_validate_json((tmp_path / "figures.json").read_bytes()).runs
    assert run.file_bytes == pytest.approx(0.76e9, rel=0.05)
    assert run.file_bytes < run.peak_resident_bytes
    assert run.over_file_bytes < 1.2 * 2**30
    assert not list(tmp_path.glob("*.gguf")) + list(tmp_path.glob(".model-*"))
