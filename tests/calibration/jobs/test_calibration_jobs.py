"""The calibration child as the daemon runs it: a job file in, progress lines and a generation out;
killed, resumed, refused."""

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.round.judge import judge
from calibration.round.panel import stable_sample
from engines.generations.folder import list_generations, read_generation
from engines.jobs.messages import AdaptJob, DistilRecipe, EngineFiles, Example, Progress
from engines.models.general_speech import read_prompts, retention_set
from tests.support.calibration_child import run, start

TRAINED, HELD_OUT, GENERAL = 6, 2, 2


@pytest.fixture
def job(
    tmp_path: Path,
    untrained_generations: Path,
    general_speech: Path,
    engine_files: EngineFiles,
) -> AdaptJob:
    prompts = read_prompts(general_speech)
    general = retention_set(prompts)[:GENERAL]
    own = [prompt for prompt in prompts if prompt not in general][: TRAINED + HELD_OUT]
    examples = [
        Example(
            id=prompt.name,
            audio=prompt.audio,
            text=prompt.text,
            origin="enrolled",
            holdout=index < HELD_OUT,
        )
        for index, prompt in enumerate(own)
    ]
    root = tmp_path / "generations"
    root.mkdir()
    (root / "0000").symlink_to(untrained_generations / "0000")
    folder = tmp_path / "jobs" / "0001"
    folder.mkdir(parents=True)
    return AdaptJob(
        folder=folder,
        generations=root,
        number=1,
        parent=0,
        engines=engine_files,
        features=tmp_path / "features",
        examples=examples,
        general=[
            Example(id=f"general-{p.name}", audio=p.audio, text=p.text, origin="enrolled")
            for p in general
        ],
        system_prompt="Answer briefly.",
        training_seconds=4.0,
        reply_utterances=1,
        reply_tokens=4,
        threads=1,
    )


@pytest.mark.slow
def test_a_round_writes_a_judged_generation(job: AdaptJob) -> None:
    status, lines = run(job)
    assert (status, lines[-1].stage, lines[-1].note) == (0, "done", "1")
    assert list(dict.fromkeys(line.stage for line in lines)) == [
        "hear",
        "encode",
        "samples",
        "train",
        "export",
        "judge",
        "done",
    ]
    generation = read_generation(job.generations / "0001")
    card = generation.card
    assert card.parent == 0
    assert card.examples_by_origin == {"enrolled": TRAINED}
    assert card.steps > 0
    assert card.losses.keys() == {"contrast", "sound", "mse", "cosine", "ctc", "quantity"}
    stages = {"hear", "encode", "train", "export", "judge"}
    assert card.stage_peak_bytes.keys() == card.stage_processor_seconds.keys() == stages
    assert card.peak_bytes == max(card.stage_peak_bytes.values())
    assert min(card.stage_peak_bytes.values()) > 100e6
    assert card.processor_seconds is not None
    assert 0 < card.processor_seconds < 2 * job.training_seconds, (
        "what the setting bounds; a step may go beyond it"
    )
    assert card.wall_seconds > 0
    assert card.holdout is not None
    assert card.holdout.candidate.utterances == HELD_OUT
    assert card.holdout.cascade.word_error_rate < 0.5 < card.holdout.candidate.word_error_rate
    assert card.holdout.cascade.rouge_l is not None
    assert card.general is not None
    assert card.general.cascade.utterances == GENERAL
    assert card.recognised is None
    assert "torch" in card.versions
    assert card.requests
    assert set(card.requests) <= {example.text for example in job.examples if not example.holdout}
    told = Counter((line.stage, line.note.split(" ")[0].rstrip(",")) for line in lines)
    assert told["train", "step"] == card.steps, "no step without a word"
    assert (
        sum(
            line.stage == "samples" and " of " in line.note and line.note.endswith("utterances")
            for line in lines
        )
        == TRAINED
    )
    assert told["judge", "confidence"] == HELD_OUT + GENERAL, "nor any utterance"
    for name, count in (("holdout", HELD_OUT), ("general", GENERAL)):
        assert told["judge", name] == 3 * count, "each is heard by three"


@pytest.mark.slow
def test_the_confidence_is_fitted_to_a_bounded_number_of_utterances(
    job: AdaptJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [e.model_copy(update={"holdout": True}) for e in job.examples if not e.holdout]
    assert run(job)[0] == 0
    shutil.rmtree(job.generations / "0001")
    monkeypatch.setattr("calibration.round.panel.CALIBRATED_OWN", 2)
    monkeypatch.setattr("calibration.round.panel.CALIBRATED_GENERAL", 1)
    notes: list[str] = []
    judge(
        job.model_copy(update={"examples": many}), lambda stage, fraction, note: notes.append(note)
    )
    assert [note for note in notes if note.startswith("confidence")] == [
        f"confidence, {count} utterances" for count in (1, 2, 3)
    ]
    assert sum(note.startswith("holdout, candidate") for note in notes) == TRAINED, (
        "while all are judged"
    )


@given(st.lists(st.text(), unique=True, max_size=60), st.integers(0, 40), st.text())
def test_a_sample_mostly_stays_when_others_are_added(
    names: list[str], most: int, another: str
) -> None:
    examples = [Example(id=name, audio=Path("a"), text="", origin="enrolled") for name in names]
    some = stable_sample(examples, most)
    assert len(some) == min(most, len(names))
    assert some == [example for example in examples if example in some], "in their order"
    more = stable_sample(
        [*examples, Example(id=another, audio=Path("a"), text="", origin="enrolled")], most
    )
    assert len({one.id for one in some} - {one.id for one in more}) <= 1


@pytest.mark.slow
def test_killed_while_training_the_same_job_goes_on_from_its_checkpoint(job: AdaptJob) -> None:
    long = job.model_copy(update={"training_seconds": 600.0})
    with start(long) as child:
        assert child.stdout is not None
        for line in child.stdout:
            step = Progress.model_validate_json(line)
            if step.stage == "train":
                child.send_signal(signal.SIGTERM)
                break
        child.communicate()
    assert child.returncode == 143
    assert (job.folder / "train.checkpoint.safetensors").is_file()
    assert not (job.generations / "0001").exists()
    status, lines = run(job)
    first = next(line for line in lines if line.stage == "train")
    assert status == 0
    assert int(first.note.split()[1].rstrip(",")) > 1  # the first report of a fresh run is step 1


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", ["train", "export", "judge"])
def test_what_a_stage_has_done_is_not_done_again(job: AdaptJob, killed_in: str) -> None:
    with start(job) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if Progress.model_validate_json(line).stage == killed_in:
                child.kill()
                break
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    status, lines = run(job)
    assert status == 0, lines[-1].note
    stages = list(dict.fromkeys(line.stage for line in lines))
    order = ["hear", "encode", "samples", "train", "export", "judge", "done"]
    begun = order.index("samples" if killed_in == "train" else killed_in)
    assert stages == order[begun:]
    assert read_generation(job.generations / "0001").card.steps > 0


@pytest.mark.slow
def test_a_round_that_distils_serves_what_is_replied_to_better(job: AdaptJob) -> None:
    """Killed in its second stage it goes on there, and neither trains the projector nor makes
    lessons anew."""
    recipe = DistilRecipe(seconds=600.0, rank=4, trains="adapter")
    with start(job.model_copy(update={"distil": recipe})) as child:
        assert child.stdout is not None
        for line in child.stdout:
            step = Progress.model_validate_json(line)
            if step.stage == "distil" and step.note.startswith("step 2,"):
                child.send_signal(signal.SIGTERM)
                break
        child.communicate()
    assert child.returncode == 143
    lessons = {path: path.stat().st_mtime_ns for path in (job.features / "lessons").iterdir()}
    assert len(lessons) == 2 * TRAINED
    status, lines = run(
        job.model_copy(update={"distil": recipe.model_copy(update={"seconds": 8.0})})
    )
    assert (status, lines[-1].note) == (0, "1")
    assert len([line for line in lines if line.stage == "train"]) <= 1
    first = next(line for line in lines if line.stage == "distil" and line.note.startswith("step"))
    assert int(first.note.split()[1].rstrip(",")) >= 2  # a fresh run tells of its first step
    assert {path: path.stat().st_mtime_ns for path in lessons} == lessons
    generation = read_generation(job.generations / "0001")
    card = generation.card
    assert card.replies.keys() == {"rows", "blends"}
    assert {"contrast", "input_kl", "response_kl"} <= card.losses.keys()
    assert card.steps > int(first.note.split()[1].rstrip(",")), "those of both stages count"
    assert card.holdout is not None
    assert card.holdout.candidate.rouge_l == pytest.approx(max(card.replies.values()))
    serves_blends = card.replies["blends"] > card.replies["rows"]
    assert (generation.adapter is not None) == serves_blends
    assert ("adapter/adapter_model.safetensors" in card.files) == serves_blends


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["parent", "nothing to train on", "unreadable audio"])
def test_what_cannot_be_run_says_so_in_one_line(job: AdaptJob, damage: str, tmp_path: Path) -> None:
    some = job.examples[HELD_OUT - 1 : HELD_OUT + 1]  # one to judge on, one to train on
    job = job.model_copy(update={"examples": some, "general": job.general[:1]})
    if damage == "parent":
        job = job.model_copy(update={"parent": 7})
    elif damage == "nothing to train on":
        job = job.model_copy(
            update={"examples": [example for example in job.examples if example.holdout]}
        )
    else:
        (tmp_path / "noise.flac").write_bytes(b"not audio")
        broken = [
            e.model_copy(update={"audio": tmp_path / "noise.flac"})
            for e in job.examples
            if not e.holdout
        ]
        job = job.model_copy(update={"examples": broken})
    status, lines = run(job)
    assert status == 1
    assert lines[-1].stage == "failed"
    assert lines[-1].note
    assert "\n" not in lines[-1].note
    assert [entry.number for entry in list_generations(job.generations)] == [0]


def test_a_job_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"kind": "adapt", "surprise": 1}))
    done = subprocess.run(
        [sys.executable, "-m", "calibration", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert Progress.model_validate_json(done.stdout.splitlines()[-1]).stage == "failed"
