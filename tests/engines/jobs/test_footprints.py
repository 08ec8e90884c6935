"""Which measurements of a round's memory are used: this device's, or those of another for stages
that were never measured here."""

from hashlib import sha256
from pathlib import Path

import pytest

from engines.errors import AttuneError
from engines.jobs.footprints import (
    Footprint,
    Footprints,
    footprints_of,
    read_footprints,
    write_footprints,
)
from engines.jobs.messages import AdaptJob, EngineFiles, Example


@pytest.fixture
def engines(tmp_path: Path) -> EngineFiles:
    (tmp_path / "model.bin").write_bytes(b"whisper")
    (tmp_path / "llm").write_bytes(b"language model")
    return EngineFiles(
        encoder=tmp_path / "none",
        encoder_weights=tmp_path,
        language_model=tmp_path / "llm",
        served_language_model=tmp_path / "llm",
    )


def footprints(whisper: bytes = b"whisper", **stages: float) -> Footprints:
    return Footprints(
        machine="a test's",
        measured_at="2026-01-01T00:00:00+00:00",
        encoder_sha256=sha256(whisper).hexdigest(),
        language_model_sha256=sha256(b"language model").hexdigest(),
        frame_width=384,
        replay_seconds=6.0,
        stages={
            name: Footprint(beside_bytes=size, alone_bytes=size) for name, size in stages.items()
        },
        answering_bytes=0,
        left_bytes=0,
    )


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shipped.json"
    monkeypatch.setattr("engines.jobs.footprints.SHIPPED", path)
    return path


def test_a_stage_that_was_never_measured_here_has_the_figures_of_another_machine(
    tmp_path: Path, engines: EngineFiles, shipped: Path
) -> None:
    here = tmp_path / "here.json"
    write_footprints(shipped, footprints(train=5.0, recognise=7.0))
    write_footprints(here, footprints(train=3.0))
    found, measured_here = footprints_of(engines, here, ["train", "recognise"])
    assert {name: one.alone_bytes for name, one in found.stages.items()} == {
        "train": 3.0,
        "recognise": 7.0,
    }
    assert not measured_here
    assert footprints_of(engines, here, ["train"])[1]


def test_figures_of_other_models_are_not_used(
    tmp_path: Path, engines: EngineFiles, shipped: Path
) -> None:
    here = tmp_path / "here.json"
    with pytest.raises(AttuneError, match="run `attune calibrate memory`"):
        footprints_of(engines, here)
    write_footprints(shipped, footprints(train=5.0))
    write_footprints(here, footprints(whisper=b"another", train=3.0))
    found, measured_here = footprints_of(engines, here, ["train"])
    assert (found.stages["train"].alone_bytes, measured_here) == (5.0, False)
    write_footprints(shipped, footprints(whisper=b"another", train=5.0))
    write_footprints(here, footprints(train=3.0))
    found, measured_here = footprints_of(engines, here, ["train"])
    assert (found.stages["train"].alone_bytes, measured_here) == (3.0, True)


def test_several_pairs_of_models_are_kept_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "footprints.json"
    first, other = footprints(train=1.0), footprints(whisper=b"another", train=2.0)
    write_footprints(path, first)
    write_footprints(path, other)
    assert read_footprints(path) == [first, other]
    again = footprints(train=3.0)
    write_footprints(path, again)
    assert read_footprints(path) == [other, again], "measured again, the old figures are gone"


def test_time_grows_with_utterances_and_with_their_length(engines: EngineFiles) -> None:
    stage = Footprint(
        beside_bytes=1.0,
        alone_bytes=1.0,
        seconds=10.0,
        seconds_per_utterance=0.5,
        seconds_per_audio_second=0.1,
    )
    measured = footprints().model_copy(update={"stages": {"hear": stage, "train": stage}})
    examples = [
        Example(id=f"{n}", audio=Path("a"), text="", origin="enrolled", seconds=4.0)
        for n in range(5)
    ]
    job = AdaptJob(
        folder=Path(),
        generations=Path(),
        number=1,
        parent=0,
        engines=engines,
        features=Path(),
        examples=examples,
        general=examples[:1],
        system_prompt="",
        training_seconds=60.0,
    )
    assert measured.predicted_seconds("hear", job) == pytest.approx(10 + 0.5 * 6 + 0.1 * 24)
    assert measured.predicted_seconds("train", job) == pytest.approx(10 + 60)
