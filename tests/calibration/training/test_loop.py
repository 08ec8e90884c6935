"""EmbedLink and the training loop, small: it learns, it resumes to the same weights, it refuses
what is damaged."""

import multiprocessing
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import distributed, nn

from calibration.projector.cif import CifConfig, CifProjector
from calibration.projector.embedlink import EmbedLink
from calibration.projector.pronunciation_keys import pronounce
from calibration.training.adamw import AdamW
from calibration.training.checkpoint import Run
from calibration.training.features import cached_frames
from calibration.training.loop import Schedule, fit, fraction, learning_rate
from calibration.training.samples import Sample, collate, make_sample
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.llm.vocabulary import Vocabulary
from engines.whisper.encoder_onnx import OnnxEncoder

SIZES = {
    "frame_width": 12,
    "width": 32,
    "heads": 2,
    "layers_before": 1,
    "layers_after": 1,
    "dropout": 0.1,
}
TEXTS = ["Turn on the light.", "Call my sister.", "What time is it?"]


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.fixture(scope="module")
def samples(vocabulary: Vocabulary) -> list[Sample]:
    return make_samples(vocabulary)


def make_samples(vocabulary: Vocabulary) -> list[Sample]:
    """Noise, said to be TEXTS."""
    rng = np.random.default_rng(0)
    made = [
        make_sample(rng.standard_normal((60, 12)).astype(np.float32), text, "", vocabulary, 3)
        for text in TEXTS
    ]
    return [sample for sample in made if sample is not None]


def start(vocabulary: Vocabulary) -> EmbedLink:
    torch.manual_seed(0)
    config = CifConfig(embedding_width=vocabulary.width, vocabulary_size=vocabulary.size, **SIZES)  # type: ignore[arg-type]
    projector = CifProjector(config)
    tokens = {token for text in TEXTS for token in vocabulary.tokenize(text)}
    projector.keys.phonemes.copy_(torch.from_numpy(pronounce(vocabulary, tokens, 1)))
    return EmbedLink(projector, vocabulary, tokens)


def run_for(
    vocabulary: Vocabulary,
    samples: list[Sample],
    steps: int,
    stop_after: int,
    checkpoint: Path | None,
) -> tuple[CifProjector, Run]:
    embedlink = start(vocabulary)
    run = Run()
    loop = fit(embedlink, lambda _: samples, Schedule(steps, 1e9, 3e-3, warmup_steps=3), checkpoint)
    for run in loop:
        if run.step == stop_after:
            loop.close()  # type: ignore[attr-defined]
            break
    return embedlink.projector, run


def test_the_losses_fall(vocabulary: Vocabulary, samples: list[Sample]) -> None:
    _, run = run_for(vocabulary, samples, 60, 60, None)
    for name in ("contrast", "sound", "cosine", "ctc", "quantity"):
        assert run.losses[-1][name] < 0.7 * run.losses[0][name], name


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    vocabulary: Vocabulary, samples: list[Sample], tmp_path: Path
) -> None:
    undisturbed, whole = run_for(vocabulary, samples, 12, 12, None)
    checkpoint = tmp_path / "checkpoint.safetensors"
    run_for(vocabulary, samples, 12, 5, checkpoint)
    resumed, rest = run_for(vocabulary, samples, 12, 12, checkpoint)
    for expected, found in zip(whole.losses, rest.losses, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    for name, value in undisturbed.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-6), name


def learn_as_one_of_two(rank: int, llm_path: Path, folder: Path) -> None:
    """A process of two: three steps on a share of its own, its weights written to `folder`."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.set_num_threads(1)
    vocabulary = Vocabulary(llm_path)
    embedlink = start(vocabulary)
    share = make_samples(vocabulary)[rank : rank + 2]
    for _ in fit(embedlink, lambda _: share, Schedule(3, 1e9, 3e-3, warmup_steps=3), None):
        pass
    save_file(embedlink.projector.state_dict(), folder / f"{rank}.safetensors")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(
    vocabulary: Vocabulary, llm_path: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(target=learn_as_one_of_two, args=(rank, llm_path, tmp_path))
        for rank in (0, 1)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    one, other = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    begun = start(vocabulary).projector.state_dict()
    assert any(not torch.equal(value, begun[name]) for name, value in one.items())
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_finished_run_takes_no_further_step(
    vocabulary: Vocabulary, samples: list[Sample], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    run_for(vocabulary, samples, 4, 4, checkpoint)
    _, again = run_for(vocabulary, samples, 4, 99, checkpoint)
    assert again.step == 4
    assert len(again.losses) == 4


def test_a_damaged_checkpoint_is_one_clear_line(
    vocabulary: Vocabulary, samples: list[Sample], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"half a file")
    with pytest.raises(AttuneError, match="checkpoint .* is damaged"):
        run_for(vocabulary, samples, 4, 4, checkpoint)


@pytest.mark.parametrize("harm", ["lacks", "another shape"])
def test_a_checkpoint_of_another_model_is_one_clear_line(
    vocabulary: Vocabulary, samples: list[Sample], tmp_path: Path, harm: str
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    run_for(vocabulary, samples, 4, 4, checkpoint)
    with safe_open(checkpoint, "pt") as file:
        about, tensors = (
            file.metadata(),
            {name: file.get_tensor(name) for name in sorted(file.keys())},
        )
    name = next(name for name in tensors if name.startswith("optimizer.1.exp_avg"))
    value = tensors.pop(name)
    if harm == "another shape":
        tensors[name] = value[None]
    save_file(tensors, checkpoint, about)
    with pytest.raises(AttuneError, match=rf"{checkpoint} is damaged \({name}.*delete it"):
        run_for(vocabulary, samples, 4, 4, checkpoint)


def test_steps_are_those_of_torch(vocabulary: Vocabulary) -> None:
    """The same weights as `torch.optim.AdamW` leaves, also for a parameter that has no gradient at
    some steps."""
    generator = torch.Generator().manual_seed(3)
    ours, theirs = (
        [nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.full((5,), -2.0))] for _ in range(2)
    )
    optimizer, reference = AdamW(ours, 0.1), torch.optim.AdamW(theirs, weight_decay=0.1)
    for step in range(8):
        rate = 0.01 * (step + 1)
        reference.param_groups[0]["lr"] = rate
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn(one.shape, generator=generator)
            one.grad = other.grad = None if number == 1 and step % 3 == 0 else gradient
        optimizer.step(rate)
        reference.step()
        for one, other in zip(ours, theirs, strict=True):
            assert torch.allclose(one, other, rtol=1e-6, atol=1e-8)


NO_COMPILER = """
import sys
from pathlib import Path
from tests.calibration.training.test_loop import make_samples, run_for
from engines.llm.vocabulary import Vocabulary
vocabulary = Vocabulary(Path(sys.argv[1]))
run_for(vocabulary, make_samples(vocabulary), 2, 2, None)
sys.exit("torch._dynamo" in sys.modules)
"""


def test_a_run_imports_no_compiler(llm_path: Path) -> None:
    """Which nothing here uses and which costs 70 MiB."""
    subprocess.run([sys.executable, "-c", NO_COMPILER, str(llm_path)], check=True, timeout=600)


def test_divergence_stops_the_run(vocabulary: Vocabulary, samples: list[Sample]) -> None:
    poisoned = [replace(samples[0], stacked=torch.full_like(samples[0].stacked, float("nan")))]
    with pytest.raises(AttuneError, match="diverged at step 0"):
        run_for(vocabulary, poisoned, 4, 4, None)


def test_the_learning_rate_warms_up_and_falls_to_the_end() -> None:
    schedule = Schedule(100, 1e9, 1.0, warmup_steps=10)
    rates = [learning_rate(schedule, Run(step)) for step in range(100)]
    assert rates[0] < rates[5] < rates[9]
    assert max(rates) == max(rates[8:14])
    assert rates[-1] == pytest.approx(1 / 30, rel=0.1)


def test_time_ends_a_run_that_steps_would_not() -> None:
    assert fraction(Run(step=1, processor_seconds=20.0), Schedule(1000, 10.0, 1.0)) == 1.0


def test_the_losses_see_no_padding(vocabulary: Vocabulary, samples: list[Sample]) -> None:
    embedlink = start(vocabulary)
    projector = embedlink.projector.eval()
    short = [samples[0]]
    with torch.no_grad():
        alone = collate(short)
        generator = torch.Generator().manual_seed(0)
        expected = embedlink.losses(
            projector(alone.stacked, alone.mask, None, alone.units),
            alone,
            embedlink.candidates(alone, generator),
        )
        beside = collate([samples[0], samples[0]])
        generator = torch.Generator().manual_seed(0)
        doubled = embedlink.losses(
            projector(beside.stacked, beside.mask, None, beside.units),
            beside,
            embedlink.candidates(beside, generator),
        )
    assert float(embedlink.weighted(expected)) == pytest.approx(
        float(embedlink.weighted(doubled)), rel=1e-3
    )


def test_a_label_longer_than_its_audio_is_left_out(vocabulary: Vocabulary) -> None:
    frames = np.zeros((12, 12), np.float32)
    assert (
        make_sample(
            frames,
            "a great many words that nobody can say in a quarter of a second",
            "",
            vocabulary,
            3,
        )
        is None
    )
    assert make_sample(frames, "", "", vocabulary, 3) is None


def test_frames_are_computed_once_and_a_damaged_cache_is_computed_anew(
    tmp_path: Path, encoder_path: Path, general_speech: Path
) -> None:
    audio = next(iter(sorted(general_speech.glob("*.g722"))))
    opened = []

    def encoder() -> OnnxEncoder:
        opened.append(1)
        return OnnxEncoder(encoder_path, threads=1)

    first = cached_frames(partial(read_audio, audio), tmp_path / "one.npy", encoder)
    second = cached_frames(partial(read_audio, audio), tmp_path / "one.npy", encoder)
    assert np.array_equal(first, second)
    assert len(opened) == 1
    (tmp_path / "one.npy").write_bytes(b"\x93NUMPY broken")
    assert np.array_equal(
        cached_frames(partial(read_audio, audio), tmp_path / "one.npy", encoder), first
    )
    assert len(opened) == 2


SHORTAGES = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 1"
    ),
    RuntimeError(
        "NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp:983, please report a"
        " bug to PyTorch."
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("NvMapMemAllocInternalTagged: 1075072515 error 12; NvMap error 12"),
    RuntimeError("std::bad_alloc"),
    OSError(12, "Cannot allocate memory"),
]


class Starved(EmbedLink):
    """Raises `error` in the steps of `at`, half of its memory taken."""

    def starve(self, error: Exception, at: set[int]) -> "Starved":
        self.error, self.at, self.calls = error, at, 0
        return self

    def weighted(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        if self.calls - 1 in self.at:
            raise self.error
        return super().weighted(losses)


def starved(vocabulary: Vocabulary, error: Exception, at: set[int]) -> Starved:
    return Starved(start(vocabulary).projector, vocabulary, ()).starve(error, at)


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: str(error)[:30])
def test_a_step_without_memory_is_skipped(
    vocabulary: Vocabulary, samples: list[Sample], error: Exception
) -> None:
    learner = starved(vocabulary, error, {1, 2})
    runs = list(fit(learner, lambda _: samples, Schedule(5, 1e9, 3e-3, warmup_steps=3), None))
    assert (runs[-1].step, runs[-1].skipped, len(runs[-1].losses)) == (5, 2, 3)


def test_memory_that_never_suffices_ends_the_run_in_one_line(
    vocabulary: Vocabulary, samples: list[Sample], tmp_path: Path
) -> None:
    learner, checkpoint = (
        starved(vocabulary, MemoryError(), set(range(2, 99))),
        tmp_path / "checkpoint.safetensors",
    )
    with pytest.raises(AttuneError, match="memory did not suffice for 5 steps in a row"):
        list(fit(learner, lambda _: samples, Schedule(20, 1e9, 3e-3, warmup_steps=3), checkpoint))
    assert checkpoint.is_file(), "what was learnt until then is kept"


def test_another_error_is_no_shortage(vocabulary: Vocabulary, samples: list[Sample]) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(
            fit(
                starved(vocabulary, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), {0}),
                lambda _: samples,
                Schedule(2, 1e9, 3e-3),
                None,
            )
        )
