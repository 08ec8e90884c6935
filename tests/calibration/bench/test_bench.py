"""The benchmarks: whole but tiny runs through the child, the figures that come out, and what is
said of bad manifests."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calibration.bench.designs import make_design
from calibration.bench.judged_sets import JudgedSet, first_minutes, judge_set, read_set
from calibration.bench.picture import draw_adapt, draw_quality
from calibration.bench.speakers import ATYPICAL, SECOND_VOICE
from calibration.corpus.demo_speakers import ATYPICAL_VOICE
from calibration.corpus.judged_requests import ENROLLED, NEVER_ENROLLED
from calibration.corpus.synthesis import phonemes
from calibration.corpus.voices import random_processes
from calibration.training.samples import make_sample
from daemon.cli.bench.command import _times_of
from daemon.cli.bench.tables import heard_sheet, own_labels_sheet, reached_sheet
from engines.errors import AttuneError
from engines.jobs.bench_figures import (
    AdaptFigures,
    CurvePoint,
    DesignRun,
    DistilFigures,
    OwnLabels,
    PersonalRound,
    QualityFigures,
    SetScores,
)
from engines.jobs.bench_jobs import BenchAdaptJob, BenchDistilJob, BenchQualityJob
from engines.jobs.messages import DistilRecipe, EngineFiles, Example, Progress
from engines.llm.vocabulary import Vocabulary
from engines.models.general_speech import read_prompts
from engines.types import SoftTokens


@pytest.fixture
def base(untrained_generations: Path) -> Path:
    return untrained_generations / "0000"


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.fixture(scope="module")
def engines(encoder_path: Path, whisper_folder: Path, llm_path: Path) -> EngineFiles:
    return EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory, general_speech: Path) -> dict[str, Path]:
    """Real recordings: sixteen to enrol, three to judge, twenty to remember."""
    folder, prompts, made, start = (
        tmp_path_factory.mktemp("manifests"),
        read_prompts(general_speech),
        {},
        0,
    )
    for name, count in (("enrol", 16), ("judge", 3), ("general", 20)):
        rows = [
            {"audio": str(prompt.audio), "text": prompt.text}
            for prompt in prompts[start : start + count]
        ]
        made[name], start = folder / f"{name}.jsonl", start + count
        made[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


@pytest.fixture
def common(
    tmp_path: Path, engines: EngineFiles, base: Path, manifests: dict[str, Path]
) -> dict[str, Any]:
    """The part of a job that both benchmarks have."""
    return {
        "folder": tmp_path / "out",
        "engines": engines,
        "base": base,
        "features": tmp_path / "features",
        "enrol": manifests["enrol"],
        "judge": [manifests["judge"]],
        "system_prompt": "Answer briefly.",
        "threads": 1,
    }


def run(job: BenchAdaptJob | BenchDistilJob | BenchQualityJob) -> tuple[int, list[Progress]]:
    job.folder.mkdir(exist_ok=True)
    path = job.folder / "job.json"
    path.write_text(job.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "calibration", str(path)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return done.returncode, [
        Progress.model_validate_json(line)
        for line in done.stdout.splitlines()
        if line.startswith("{")
    ]


@pytest.mark.slow
def test_personal_rounds_are_measured(common: dict[str, Any], manifests: dict[str, Path]) -> None:
    job = BenchAdaptJob(
        **common,
        general=manifests["general"],
        minutes=[0.2],
        training_seconds=1.0,
        learning_rate=2e-4,
    )
    status, lines = run(job)
    assert (status, lines[-1].note) == (0, "1")
    figures = AdaptFigures.model_validate_json((job.folder / "figures.json").read_bytes())
    [taken] = figures.rounds
    assert 0 < taken.utterances < 16
    assert 0.1 < taken.minutes <= 0.2
    assert taken.peak_bytes > 100e6
    hearers = ["cascade", "base", "0.2 min"]
    assert [(one.set, one.hearer) for one in figures.heard] == [
        (name, who) for who in hearers for name in ("judge", "general")
    ]
    by_name = {(one.set, one.hearer): one for one in figures.heard}
    assert (
        by_name["general", "cascade"].word_error_rate
        < 0.5
        < by_name["general", "base"].word_error_rate
    )
    assert by_name["judge", "base"].trust is None  # nothing was fitted to the base
    trust = by_name["judge", "0.2 min"].trust
    assert trust is not None
    assert sum(step.count for step in trust.reliability) == 3
    logged = [json.loads(line) for line in (job.folder / "heard.jsonl").read_text().splitlines()]
    assert len(logged) == 3 * 23
    assert (job.folder / "picture.svg").read_text().rstrip().endswith("</svg>")


@pytest.mark.slow
def test_designs_are_trained_and_judged(common: dict[str, Any]) -> None:
    designs = {"attune": 0.01, "end-to-end": 0.02}
    job = BenchQualityJob(
        **common,
        designs=designs,
        judged_utterances=2,
        reply_utterances=1,
        reply_tokens=4,
    )
    status, lines = run(job)
    assert status == 0, lines[-1].note
    figures = QualityFigures.model_validate_json((job.folder / "figures.json").read_bytes())
    assert [one.design for one in figures.designs] == list(designs)
    assert [one.hearer for one in figures.heard] == ["cascade", *designs]
    for one in figures.designs:
        assert one.curve[0].step == 0
        assert one.curve[-1].step > 0
        assert one.curve[0].seconds == one.features_seconds > 0
        assert one.curve[-1].loss > 0
    memory = {one.design: one.peak_bytes for one in figures.designs}
    assert memory["end-to-end"] > memory["attune"] + 200e6  # it holds the language model
    assert all(one.rouge_1 is not None and one.same_first_token in (0, 1) for one in figures.heard)
    assert (job.folder / "picture.svg").is_file()


@pytest.mark.slow
def test_a_generation_is_distilled_and_judged(common: dict[str, Any]) -> None:
    recipes = {
        "adapter": DistilRecipe(seconds=1.0, rank=4, trains="adapter"),
        "projector": DistilRecipe(seconds=1.0, trains="projector"),
    }
    job = BenchDistilJob(**common, recipes=recipes, reply_utterances=2, reply_tokens=4)
    status, lines = run(job)
    assert status == 0, lines[-1].note
    figures = DistilFigures.model_validate_json((job.folder / "figures.json").read_bytes())
    assert figures.lessons == 2 * 16
    assert [one.recipe for one in figures.runs] == list(recipes)
    assert all(one.steps > 0 and "response_kl" in one.losses for one in figures.runs)
    assert ("contrast" in figures.runs[0].losses, "contrast" in figures.runs[1].losses) == (
        False,
        True,
    )
    before = ["cascade", "rows, as served", "vectors", "blends"]
    assert [one.hearer for one in figures.heard] == [
        *before,
        *(f"blends, {name}" for name in recipes),
    ]
    assert all(one.rouge_l is not None for one in figures.heard)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cif", "bridgeformer"])
def test_designs_from_random_weights_hear_and_hand_on_soft_tokens(
    name: str, base: Path, llm_path: Path, vocabulary: Vocabulary
) -> None:
    torch.manual_seed(0)
    design = make_design(name, 12, vocabulary, llm_path, base, ["Hello."])
    design.learner.eval()
    rng = np.random.default_rng(0)
    made = [
        make_sample(rng.standard_normal((size, 12)).astype(np.float32), "Hello.", "", vocabulary, 3)
        for size in (60, 90)
    ]
    samples = [sample for sample in made if sample is not None]
    heard, soft = design.transcribe(samples), design.soft(samples)
    assert len(heard) == len(soft) == 2
    assert all(one.vectors.shape[1] == vocabulary.width for one in soft)
    # A fixed number, or as many as were said.
    assert (len({len(one.vectors) for one in soft}) == 1) == (name == "bridgeformer")


def test_a_design_may_be_trained_for_its_own_time() -> None:
    assert _times_of("attune:2, cif,end-to-end:40.5", 10.0) == {
        "attune": 2.0,
        "cif": 10.0,
        "end-to-end": 40.5,
    }
    for bad in ("cif:soon", "cif:0", "cif:-1", "cif:nan"):
        with pytest.raises(AttuneError, match=rf"--designs {bad}: the minutes of {bad} must be"):
            _times_of(bad, 10.0)


def test_an_unknown_design_is_one_clear_line(
    base: Path, llm_path: Path, vocabulary: Vocabulary
) -> None:
    with pytest.raises(
        AttuneError,
        match="there is no design magic; choose from attune, cif, bridgeformer, end-to-end",
    ):
        make_design("magic", 12, vocabulary, llm_path, base, [])


def test_a_manifest_that_cannot_be_judged_on_is_one_clear_line(tmp_path: Path) -> None:
    manifest = tmp_path / "bad.jsonl"
    manifest.write_text('{"audio": "gone.wav", "text": "x"}\n')
    with pytest.raises(AttuneError, match=r"bad.jsonl: .*gone.wav cannot be read"):
        read_set(manifest)
    manifest.write_text("")
    with pytest.raises(AttuneError, match="has no recordings"):
        read_set(manifest)


def test_content_words_and_trust_are_counted(tmp_path: Path, vocabulary: Vocabulary) -> None:
    examples = [
        Example(id=str(index), audio=tmp_path, text=text, origin="enrolled")
        for index, text in enumerate(("Call Patricia.", "Turn on the light."))
    ]
    tokens = [vocabulary.tokenize(text) for text in ("Call Robert.", "Turn on the light.")]
    heard = [
        SoftTokens(vocabulary.rows(some), float(len(some)), tokens=tuple(some), confidence=sure)
        for some, sure in zip(tokens, (0.7, 0.9), strict=True)
    ]
    judged = JudgedSet("two", examples)
    strict, lax = (
        judge_set(judged, "a", heard, vocabulary, threshold, tmp_path / "log")
        for threshold in (0.8, 0.6)
    )
    assert strict.word_error_rate == pytest.approx(1 / 6)
    assert strict.content_word_error_rate == pytest.approx(1 / 4)  # call, Patricia, turn, light
    assert strict.trust is not None
    assert lax.trust is not None
    assert (strict.trust.passing, strict.trust.wrong_acted) == (0.5, 0.0)
    assert lax.trust.passing == 1.0
    assert lax.trust.wrong_acted == pytest.approx(1 / 4)


def test_the_first_minutes_are_no_longer_than_asked(tmp_path: Path) -> None:
    examples = [
        Example(id=str(index), audio=tmp_path, text="x", origin="enrolled") for index in range(10)
    ]
    assert first_minutes(examples, 0.5, lambda _: 12.0) == examples[:2]
    assert first_minutes(examples, 0.1, lambda _: 12.0) == examples[:1]
    assert first_minutes(examples, 60, lambda _: 12.0) == examples


def heard_set(hearer: str, rate: float) -> SetScores:
    return SetScores(
        set="judge",
        hearer=hearer,
        utterances=10,
        word_error_rate=rate,
        content_word_error_rate=rate,
    )


def test_pictures_and_tables_show_what_was_found(tmp_path: Path) -> None:
    adapt = AdaptFigures(
        rounds=[
            PersonalRound(
                name="2 min",
                minutes=2,
                utterances=40,
                steps=150,
                processor_seconds=90,
                wall_seconds=100,
                round_processor_seconds=99999,
                peak_bytes=10**9,
            )
        ],
        heard=[
            heard_set("cascade", 0.6),
            heard_set("base", 0.4),
            heard_set("2 min", 0.05),
            heard_set("2 min, recogniser", 0.1),
            heard_set("whisper-base", 0.5),
        ],
        costs=[],
        machine="a machine",
    )
    draw_adapt(adapt, tmp_path / "adapt.svg")
    assert "minutes enrolled" in (tmp_path / "adapt.svg").read_text()
    longer = PersonalRound(
        name="5 min",
        minutes=5,
        utterances=90,
        steps=150,
        processor_seconds=90,
        wall_seconds=100,
        round_processor_seconds=99999,
        peak_bytes=10**9,
    )
    fifth = heard_set("5 min", 0.02)
    by_itself = longer.model_copy(
        update={
            "name": "5 min, 61 labels of its own",
            "own_labels": OwnLabels(recordings=90, labelled=61, right=60, allowed=True),
        }
    )
    beside = AdaptFigures(
        rounds=[*adapt.rounds, by_itself],
        heard=[*adapt.heard, heard_set("5 min, 61 labels of its own, recogniser", 0.02)],
        costs=[],
        machine="a machine",
    )
    draw_adapt(beside, tmp_path / "beside.svg")
    assert (tmp_path / "beside.svg").read_bytes() == (tmp_path / "adapt.svg").read_bytes()
    assert own_labels_sheet(beside).rows == [
        ("5 min, 61 labels of its own", "61 of 90", "60", "yes")
    ]
    for name, rounds, heard in (("up", [0, 1], [2, 5]), ("down", [1, 0], [5, 2])):
        all_rounds, all_heard = [*adapt.rounds, longer], [*adapt.heard, fifth]
        asked = {
            "rounds": [all_rounds[place] for place in rounds],
            "heard": [*adapt.heard[:2], *(all_heard[p] for p in heard)],
        }
        draw_adapt(adapt.model_copy(update=asked), tmp_path / f"{name}.svg")
    assert (tmp_path / "up.svg").read_bytes() == (tmp_path / "down.svg").read_bytes()
    table = heard_sheet(adapt.heard)
    assert list(table.headings) == ["set", "heard by", "word error", "content words"]
    slow, quick = (
        DesignRun(
            design=name,
            features_seconds=1,
            step_seconds=1,
            peak_bytes=10**9,
            parameters=10**6,
            curve=[
                CurvePoint(seconds=at, step=step, loss=1.0, word_error_rate=rate)
                for at, step, rate in curve
            ],
        )
        for name, curve in (
            ("slow", [(1, 0, 1.0), (50, 10, 0.9), (100, 20, 0.5)]),
            ("quick", [(1, 0, 1.0), (2, 1, 0.5), (100, 90, 0.1)]),
        )
    )
    assert (quick.seconds_to(0.5), slow.seconds_to(0.1)) == (2, None)
    quality = QualityFigures(
        designs=[slow, quick], heard=[heard_set("slow", 0.5)], machine="a machine"
    )
    draw_quality(quality, tmp_path / "quality.svg")
    assert (tmp_path / "quality.svg").is_file()
    reached = reached_sheet(quality)
    assert [list(row) for row in reached.rows] == [
        ["slow", "-", "never"],
        ["quick", "2 (50.0x sooner)", "-"],
    ]


def test_words_never_enrolled_are_none_that_are() -> None:
    for name in ("rooms", "people", "things", "topics"):
        assert not set(getattr(ENROLLED, name)) & set(getattr(NEVER_ENROLLED, name))


def test_the_atypical_speakers_are_of_different_kinds() -> None:
    text = "Turn off the lights in the bathroom, grandma."
    assert "_:" in phonemes(text, SECOND_VOICE)
    assert len({phonemes(text, voice) for voice in ATYPICAL.values()}) == 3
    assert len(set(SECOND_VOICE.processes) & set(ATYPICAL_VOICE.processes)) <= 1


def test_the_third_atypical_speaker_speaks_as_no_corpus_does() -> None:
    learnt = {rule for _ in range(500) for rule in random_processes(random.Random(_))}
    assert not set(ATYPICAL["third"].processes) & learnt
    assert set(SECOND_VOICE.processes) & learnt
