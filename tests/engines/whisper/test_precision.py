"""The encoder in other precisions: near the original, in operators that TensorRT reads, and used
only where the card allows."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.export.encoder_precision import METHODS, WINDOW_COLUMNS, write_float16, write_int8
from calibration.jobs.encoder_precisions import make_precisions
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.files import sha256_of
from engines.jobs.calibration_jobs import PrecisionJob
from engines.jobs.messages import EngineFiles, Example
from engines.models.general_speech import read_prompts
from engines.types import Float32
from engines.whisper.encoder import encoder_mel
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.precision import (
    PRECISIONS,
    ErrorRates,
    PrecisionCard,
    card_path,
    path_of,
    read_card,
)
from tests.support.small_encoder import write_small_encoder

# The operators of our graphs that the parser of TensorRT 10.1 lists as supported, in opsets 9 to 20
# (onnx/onnx-tensorrt, docs/operators.md at release/10.1-GA); Q/DQ with a zero point of zero only,
# LayerNormalization with its first output only.
TENSORRT_OPERATORS = frozenset(
    "Add Cast Concat Conv DequantizeLinear Div Erf LayerNormalization MatMul Mul QuantizeLinear"
    " Reshape Shape Slice Softmax Squeeze Transpose Unsqueeze".split()
)


@pytest.fixture(scope="module")
def speech(general_speech: Path) -> list[Float32]:
    return [read_audio(prompt.audio) for prompt in read_prompts(general_speech)[:16]]


@pytest.fixture(scope="module")
def made(
    encoder_path: Path, speech: list[Float32], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The real encoder in every precision."""
    folder = tmp_path_factory.mktemp("precisions")
    mels = [encoder_mel(samples, 80) for samples in speech[8:]]
    found = {"float32": encoder_path, "float16": folder / "float16.onnx"}
    write_float16(encoder_path, found["float16"])
    for method in METHODS:
        found[method] = folder / f"{method}.onnx"
        write_int8(encoder_path, found[method], mels, method)
    assert len(list(folder.iterdir())) == 1 + len(METHODS), "nothing is left beside them"
    return found


@pytest.mark.parametrize(
    ("name", "cosine", "size"),
    [("float16", 0.9999, 0.51), ("entropy", 0.99, 0.33), ("percentile", 0.98, 0.33)],
)
def test_frames_stay_near_the_original(
    made: dict[str, Path], speech: list[Float32], name: str, cosine: float, size: float
) -> None:
    original, other = OnnxEncoder(made["float32"], 2), OnnxEncoder(made[name], 2)
    cosines = []
    for samples in speech[:8]:
        ours, theirs = other.encode(samples), original.encode(samples)
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
        cosines.append(
            (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        )
    assert np.concatenate(cosines).mean() >= cosine
    assert made[name].stat().st_size <= size * made["float32"].stat().st_size


@pytest.mark.parametrize("name", ["float32", "float16", *METHODS])
def test_every_operator_is_one_that_tensorrt_reads(made: dict[str, Path], name: str) -> None:
    model = onnx.load(made[name])
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import if one.domain == ""] == [
        ("", 18)
    ]
    used = Counter(node.op_type for node in model.graph.node)
    assert set(used) <= TENSORRT_OPERATORS
    assert all(node.domain == "" for node in model.graph.node)
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not constants[node.input[2]].any(), "TensorRT takes no zero points"
        if node.op_type == "LayerNormalization":
            assert len(node.output) == 1
    if name in METHODS:
        eight_bit = [node for node in model.graph.node if node.op_type in ("MatMul", "Conv")]
        assert (
            sum(
                any(
                    one.startswith("DequantizeLinear") or "dequant" in one.lower()
                    for one in node.input
                )
                for node in eight_bit
            )
            == 26
        )


def test_too_little_speech_calibrates_nothing(encoder_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no utterance is as long"):
        write_int8(
            encoder_path,
            tmp_path / "a.onnx",
            [np.zeros((80, WINDOW_COLUMNS - 1), np.float32)],
            "entropy",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def job(
    tmp_path: Path,
    untrained_generations: Path,
    encoder_path: Path,
    whisper_folder: Path,
    llm_path: Path,
    general_speech: Path,
) -> PrecisionJob:
    encoder = tmp_path / "engines" / "tiny.encoder.onnx"
    encoder.parent.mkdir()
    encoder.write_bytes(encoder_path.read_bytes())
    return PrecisionJob(
        folder=tmp_path / "work",
        engines=EngineFiles(
            encoder=encoder,
            encoder_weights=whisper_folder,
            language_model=llm_path,
            served_language_model=llm_path,
        ),
        generation=untrained_generations / "0000",
        examples=[
            Example(id=prompt.name, audio=prompt.audio, text=prompt.text, origin="enrolled")
            for prompt in read_prompts(general_speech)[:16]
        ],
    )


@pytest.mark.slow
def test_the_real_encoder_gets_good_cards(job: PrecisionJob) -> None:
    make_precisions(job, lambda *_: None)
    for precision in PRECISIONS:
        card = read_card(job.engines.encoder, precision)
        assert card is not None
        assert 0.0 <= card.original.transcript_error < 0.4
        assert card.checked_utterances == 8


def test_each_precision_gets_a_card_of_what_was_measured(job: PrecisionJob) -> None:
    write_small_encoder(job.engines.encoder)
    job = job.model_copy(update={"examples": job.examples[:2]})
    make_precisions(job, lambda *_: None)
    for precision in PRECISIONS:
        card = read_card(job.engines.encoder, precision)
        assert card is not None
        assert card.checked_utterances == 1
        assert card.sha256 == sha256_of(path_of(job.engines.encoder, precision))
        assert 0.9 < card.cosine <= 1.0001
        assert card.cosine_worst <= card.cosine
        assert (card.method in METHODS) == (precision == "int8")
    assert list(job.folder.iterdir()) == [], "what was not chosen is gone"
    # what changed since is no longer what was measured
    path_of(job.engines.encoder, "int8").write_bytes(b"another")
    assert read_card(job.engines.encoder, "int8") is None
    job.engines.encoder.write_bytes(b"another")
    assert read_card(job.engines.encoder, "float16") is None
    card_path(job.engines.encoder, "float16").write_text("[" * 10_000)
    assert read_card(job.engines.encoder, "float16") is None


def test_without_speech_it_says_so(job: PrecisionJob) -> None:
    with pytest.raises(AttuneError, match="no speech to calibrate"):
        make_precisions(job.model_copy(update={"examples": job.examples[:1]}), lambda *_: None)


def card(
    cosine: float = 0.99, size: float = 0.3, tokens: float = 0.1, transcripts: float = 0.1
) -> PrecisionCard:
    return PrecisionCard(
        precision="int8",
        method="entropy",
        source_sha256="",
        sha256="",
        made_at="",
        machine="",
        calibrated_utterances=8,
        checked_utterances=8,
        cosine=cosine,
        cosine_worst=0.9,
        size=size,
        heard=ErrorRates(token_error=tokens, transcript_error=transcripts),
        original=ErrorRates(token_error=0.1, transcript_error=0.1),
    )


@pytest.mark.parametrize(
    ("made_card", "problem"),
    [
        (card(), ""),
        (card(cosine=0.979), "cosine is 0.9790, 0.98 needed"),
        (card(cosine=float("nan")), "cosine"),
        (card(size=0.4), "40% of the original's"),
        (card(tokens=0.13), "tokens are 3.0 points worse, 2.0 allowed"),
        (card(transcripts=0.125), "transcripts are 2.5 points worse"),
        (card(tokens=0.02, transcripts=0.0), ""),
    ],
)
def test_the_gate_says_what_keeps_a_precision_out(made_card: PrecisionCard, problem: str) -> None:
    assert problem in made_card.problem
    assert bool(problem) == bool(made_card.problem)
