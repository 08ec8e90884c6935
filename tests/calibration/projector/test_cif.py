"""The CIF projector: the loop-free integration against a textbook loop, masks, and the exported
graph against torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.export.projector import export_projector
from calibration.export.projector_file import load_projector, save_packed, save_projector
from calibration.projector.cif import CifConfig, CifProjector, integration_weights
from calibration.projector.first_pass_fusion import FirstPass, displacement
from engines.alignment.projector import OnnxProjector
from engines.errors import AttuneError

SMALL = CifConfig(
    frame_width=16,
    embedding_width=24,
    vocabulary_size=50,
    key_width=8,
    width=32,
    heads=4,
    layers_before=1,
    layers_after=1,
)
BOTH = pytest.mark.parametrize("reads_first_pass", [False, True])


def small_projector(reads_first_pass: bool = False) -> CifProjector:
    torch.manual_seed(0)
    projector = CifProjector(replace(SMALL, reads_first_pass=reads_first_pass))
    with torch.no_grad():  # what starts at nothing would hide what is wrong with it
        for value in projector.parameters():
            value.add_(0.05 * torch.randn_like(value))
        projector.keys.phonemes[:, :4] = torch.randint(1, 70, (SMALL.vocabulary_size, 4))
    projector.known_tokens = {7, 3}
    return projector.eval()


def first_pass_of(count: int, room: int, config: CifConfig = SMALL) -> FirstPass:
    """A first-pass transcript of `count` tokens, with noise where there is none."""
    rows = torch.randn(
        1,
        room,
        config.embedding_width + config.key_width,
        generator=torch.Generator().manual_seed(1),
    )
    return FirstPass(rows, torch.arange(room).unsqueeze(0) < count)


def textbook(weights: list[float], units: int) -> np.ndarray:
    """Integrate and fire, frame by frame: a unit fires whenever the accumulator reaches one,
    perhaps several times a frame."""
    scaled = np.array(weights, np.float64) * (units / sum(weights))
    rows = np.zeros((units, len(weights)))
    unit, accumulated = 0, 0.0
    for frame, weight in enumerate(scaled):
        left = float(weight)
        while left > 0 and unit < units:
            part = min(left, 1.0 - accumulated)
            rows[unit, frame] += part
            accumulated += part
            left -= part
            if accumulated >= 1.0 - 1e-9:
                unit, accumulated = unit + 1, 0.0
            if part == 0.0:
                break
    return rows


@settings(max_examples=200)
@given(st.lists(st.floats(0.02, 1.0), min_size=1, max_size=40), st.integers(1, 12))
def test_integration_equals_the_textbook_loop(weights: list[float], units: int) -> None:
    found = integration_weights(
        torch.tensor([weights], dtype=torch.float64), torch.tensor([units]), units
    )[0].numpy()
    assert np.abs(found - textbook(weights, units)).max() < 1e-4


@settings(max_examples=100)
@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.integers(1, 20), st.integers(0, 5)
)
def test_every_unit_weighs_one_and_units_past_the_count_nothing(
    weights: list[float], units: int, more: int
) -> None:
    weights[0] += 0.1
    found = integration_weights(torch.tensor([weights]), torch.tensor([units]), units + more)[0]
    assert torch.allclose(found[:units].sum(dim=1), torch.ones(units), atol=1e-4)
    assert float(found[units:].sum()) < 1e-3
    assert torch.all(found >= 0)


def test_long_sums_do_not_lose_units() -> None:
    """1,500 equal frames that make 30 units: a half-precision running sum stops at 27.7."""
    weights = torch.full((1, 1500), 0.02).half()
    found = integration_weights(weights, torch.tensor([30]), 30)[0]
    assert torch.allclose(found.sum(dim=1), torch.ones(30), atol=1e-2)


@BOTH
def test_padding_changes_nothing(reads_first_pass: bool) -> None:
    projector = small_projector(reads_first_pass)
    stacked = torch.randn(1, 20, SMALL.stack * SMALL.frame_width)
    units = torch.tensor([5])
    alone = projector(stacked, torch.ones(1, 20, dtype=torch.bool), first_pass_of(4, 4), units)
    padded = torch.cat([stacked, torch.randn(1, 7, stacked.shape[2])], dim=1)
    mask = torch.arange(27).unsqueeze(0) < 20
    wider = FirstPass(
        torch.cat(
            [first_pass_of(4, 4).rows, torch.randn(1, 3, SMALL.embedding_width + SMALL.key_width)],
            dim=1,
        ),
        torch.arange(7)[None] < 4,
    )
    beside = projector(padded, mask, wider, units)
    assert torch.allclose(alone.vectors, beside.vectors, atol=1e-5)
    assert torch.allclose(alone.quantity, beside.quantity, atol=1e-5)


def test_a_first_pass_is_copied_at_its_own_place_from_the_start() -> None:
    """Untrained, but with a strong pull to its place: each unit is the token of the first-pass
    transcript that stands where it stands."""
    projector = small_projector(reads_first_pass=True)
    with torch.no_grad():
        projector.copy.none_bias.fill_(-50.0)
        projector.copy.slope.fill_(50.0)
        first_pass = first_pass_of(5, 5)
        output = projector(
            torch.randn(1, 20, SMALL.stack * SMALL.frame_width),
            torch.ones(1, 20) > 0,
            first_pass,
            torch.tensor([5]),
        )
    assert torch.allclose(output.vectors, first_pass.rows, atol=1e-3)


@settings(max_examples=100)
@given(st.integers(1, 12), st.integers(0, 12))
def test_displacement_counts_from_the_nearer_end(units: int, tokens: int) -> None:
    found = displacement(torch.tensor([units]), torch.tensor([tokens]), units + 2, tokens + 3)[0]
    for unit in range(units):
        for token in range(tokens):
            assert found[unit, token] == min(
                abs(unit - token), abs((units - unit) - (tokens - token))
            )


def test_silence_still_makes_one_soft_token() -> None:
    projector = small_projector()
    torch.nn.init.constant_(projector.weight.bias, -50.0)
    output = projector(
        torch.zeros(1, 9, SMALL.stack * SMALL.frame_width), torch.ones(1, 9, dtype=torch.bool)
    )
    assert output.vectors.shape[:2] == (1, 1)
    assert torch.isfinite(output.vectors).all()


@BOTH
def test_exported_graph_equals_torch_at_every_length(
    untrained_generations: Path, first_pass_projector: Path, reads_first_pass: bool
) -> None:
    folder = first_pass_projector if reads_first_pass else untrained_generations / "0000"
    projector = load_projector(folder / "projector.safetensors").eval()
    assert_served_as_in_torch(folder / "projector.onnx", projector)


@pytest.mark.slow
@BOTH
def test_what_starts_at_nothing_is_exported_too(tmp_path: Path, reads_first_pass: bool) -> None:
    projector = small_projector(reads_first_pass)
    # Enough of them that the exporter keeps their keys as they are.
    projector.known_tokens = set(range(2, 48))
    export_projector(projector, tmp_path / "projector.onnx")
    assert_served_as_in_torch(tmp_path / "projector.onnx", projector)


def assert_served_as_in_torch(graph: Path, projector: CifProjector) -> None:
    config = projector.config
    served = OnnxProjector(graph, threads=1)
    assert served.known_tokens == sorted(projector.known_tokens)
    assert served.reads_first_pass is config.reads_first_pass
    assert np.abs(served.keys - projector.known_keys().numpy()).max() < 1e-5
    for frames_count, from_first_pass in ((12, 1), (31, 0), (150, 9), (700, 40), (1474, 200)):
        frames = (
            np.random.default_rng(frames_count)
            .standard_normal((frames_count, config.frame_width))
            .astype(np.float32)
        )
        groups = frames_count // config.stack
        stacked = torch.from_numpy(frames[: groups * config.stack].reshape(1, groups, -1))
        first_pass = first_pass_of(from_first_pass, max(1, from_first_pass), config)
        with torch.no_grad():
            expected = projector(stacked, torch.ones(1, groups, dtype=torch.bool), first_pass)
            scored = projector.scored(expected.vectors[0]).numpy()
        found = served.project(frames, first_pass.rows[0, :from_first_pass].numpy())
        assert found.vectors.shape == scored.shape
        assert np.abs(found.vectors - scored).max() < 1e-3
        assert found.quantity == pytest.approx(float(expected.quantity[0]), rel=1e-4)


@BOTH
def test_file_round_trip_keeps_sizes_and_weights(tmp_path: Path, reads_first_pass: bool) -> None:
    projector = small_projector(reads_first_pass)
    save_projector(projector, tmp_path / "projector.safetensors")
    read = load_projector(tmp_path / "projector.safetensors")
    assert read.known_tokens == {3, 7}
    assert read.config == projector.config
    assert all(
        torch.equal(value, read.state_dict()[name])
        for name, value in projector.state_dict().items()
    )


def test_one_projector_is_always_the_same_bytes(tmp_path: Path) -> None:
    projector = small_projector(reads_first_pass=False)
    written = set()
    for number in range(16):
        save_projector(projector, tmp_path / f"{number}")
        written.add((tmp_path / f"{number}").read_bytes())
    assert len(written) == 1


def test_packed_weights_are_a_quarter_and_nearly_the_same(tmp_path: Path) -> None:
    projector = small_projector(reads_first_pass=True)
    save_projector(projector, tmp_path / "whole.safetensors")
    save_packed(projector, tmp_path / "packed.safetensors")
    read = load_projector(tmp_path / "packed.safetensors")
    for name, value in projector.state_dict().items():
        assert (read.state_dict()[name] - value).abs().max() <= value.abs().max() / 200, name
    assert torch.equal(read.keys.phonemes, projector.keys.phonemes)
    # the rest is names and scales, which matter at these sizes
    assert (tmp_path / "packed.safetensors").stat().st_size < 0.45 * (
        tmp_path / "whole.safetensors"
    ).stat().st_size


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04pickle"])
def test_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "projector.safetensors"
    path.write_bytes(content)
    with pytest.raises(AttuneError, match=r"cannot be read") as caught:
        load_projector(path)
    assert "\n" not in str(caught.value)


def test_missing_graph_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="is missing"):
        OnnxProjector(tmp_path / "projector.onnx", threads=1)


def test_a_graph_without_keys_is_refused_in_one_line(encoder_path: Path) -> None:
    """As projectors were before they had pronunciation keys; any other graph will do."""
    with pytest.raises(
        AttuneError, match=r"made by an older Attune; remove .* and run `attune engines build`"
    ):
        OnnxProjector(encoder_path, threads=1)
