"""`attune bench`: measures what training gains, on recordings of any speaker. Knows jobs and
figures, no training."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from engines.errors import AttuneError
from engines.generations.folder import BASE, read_generation
from engines.jobs.bench_figures import AdaptFigures, DistilFigures, MemoryFigures, QualityFigures
from engines.jobs.bench_jobs import (
    BenchAdaptJob,
    BenchDistilJob,
    BenchMemoryJob,
    BenchQualityJob,
    BenchSpeakersJob,
)
from engines.jobs.messages import DistilRecipe
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL, retention_examples

from ...config.settings import Settings
from ...model_files import model_files
from ...plain_text import escaped
from ...training.round_inputs import recogniser_recipe, trains_projector
from ..common import AsJson, console, say, settings
from ..engines import SILENT_SECONDS, run_child
from ..sheet import Sheet
from .tables import (
    costs_sheet,
    designs_sheet,
    heard_sheet,
    memory_sheet,
    own_labels_sheet,
    reached_sheet,
    recipes_sheet,
    rounds_sheet,
)

app = typer.Typer(
    help="Run benchmarks: what a personal round gains, and how the papers' designs compare.",
    no_args_is_help=True,
)

Figures = TypeVar("Figures", AdaptFigures, DistilFigures, MemoryFigures, QualityFigures)

Enrol = Annotated[
    Path,
    typer.Option(
        "--enrol",
        help='Manifest to train on: JSON lines {"audio": PATH, "text": TEXT}.',
        exists=True,
    ),
]
Judged = Annotated[
    list[Path],
    typer.Option(
        "--judge", help="Manifest to judge on, in the same format. May be repeated.", exists=True
    ),
]
General = Annotated[
    Path | None,
    typer.Option(
        "--general",
        help="Manifest of speech that must not be forgotten. Default: the shipped retention set.",
        exists=True,
    ),
]


@app.command()
def speakers(
    out: Annotated[
        Path,
        typer.Option(help="Folder to write manifests and recordings to. Existing ones are kept."),
    ] = Path("build/bench-speakers"),
) -> None:
    """Make speakers for the benchmarks.

    Three are atypical, one is a real voice, and the others are natural voices that no training
    uses.
    """
    chosen = settings()
    folder = _folder(out)
    job = BenchSpeakersJob(
        folder=folder,
        recordings=model_path(GENERAL_MODEL, chosen.cache_dir),
        kokoro=model_path("kokoro-82m", chosen.cache_dir),
        threads=chosen.adapt.threads,
    )
    run_child(job, folder / "job.json")
    say(
        f"their manifests are in {out}: "
        + ", ".join(sorted(path.stem for path in folder.glob("*.jsonl")))
    )


@app.command()
def adapt(
    enrol: Enrol,
    judge: Judged,
    general: General = None,
    minutes: Annotated[
        str,
        typer.Option(
            help="Minutes of enrolment to test, comma-separated. One round is run for each."
        ),
    ] = "2,5,15",
    out: Annotated[
        Path, typer.Option(help="Folder to write figures.json, picture.svg and heard.jsonl to.")
    ] = Path("build/bench-adapt"),
    seed: Annotated[
        int, typer.Option(help="Random seed for the order of enrolment and for training.")
    ] = 0,
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="Whisper model that hears the sets, too, as it came: a name from"
            " `attune models list`. May be repeated."
        ),
    ] = None,
    with_vocabulary: Annotated[
        bool,
        typer.Option(
            "--vocabulary",
            help="Also let each round's recogniser hear each set with the content words of that"
            " set in the vocabulary.",
        ),
    ] = False,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Manifest of recordings that each round's recogniser labels by itself. Another "
                "round learns from them too. Their texts only show how many labels are right."
            ),
            exists=True,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the word error after rounds with more and more enrolment.

    The cascade's error stands next to each.
    """
    rounds = _numbers("--minutes", minutes, 0.05, 10_000)
    chosen = settings()
    folder = _folder(out)
    job = BenchAdaptJob(
        **_common(chosen, folder, enrol, judge),
        general=general.resolve() if general else None,
        general_examples=retention_examples(chosen.cache_dir),
        minutes=rounds,
        trains_projector=trains_projector(chosen, BASE),
        training_seconds=chosen.adapt.training_seconds,
        learning_rate=chosen.adapt.learning_rate,
        recogniser=recogniser_recipe(chosen),
        unlabelled=unlabelled.resolve() if unlabelled else None,
        vocabulary=with_vocabulary,
        others={name: model_path(name, chosen.cache_dir) for name in also or ()},
        threads=chosen.adapt.threads,
        seed=seed,
    )
    _run(
        job,
        AdaptFigures,
        _adapt_sheets,
        as_json,
    )


def _adapt_sheets(found: AdaptFigures) -> list[Sheet | str]:
    own_labels = [own_labels_sheet(found)] if any(one.own_labels for one in found.rounds) else []
    return [rounds_sheet(found), *own_labels, _heard(found), costs_sheet(found)]


@app.command()
def quality(
    enrol: Enrol,
    judge: Judged,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.05,
            max=10_000,
            help="Training minutes for each design that names none of its own.",
        ),
    ] = 20.0,
    designs: Annotated[
        str,
        typer.Option(
            help="Designs to train, in this order. NAME:MINUTES gives one its own training time."
        ),
    ] = "attune,cif,bridgeformer,end-to-end",
    out: Annotated[
        Path, typer.Option(help="Folder to write figures.json, picture.svg and heard.jsonl to.")
    ] = Path("build/bench-quality"),
    threads: Annotated[
        int, typer.Option(min=1, max=256, help="Threads of each design's process.")
    ] = 2,
    seed: Annotated[int, typer.Option(help="Random seed for weights and batches.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the papers' designs on the same recordings and compare them, next to the cascade."""
    times = _times_of(designs, minutes)
    chosen = settings()
    folder = _folder(out)
    job = BenchQualityJob(
        **_common(chosen, folder, enrol, judge),
        designs=times,
        threads=threads,
        seed=seed,
    )
    _run(
        job,
        QualityFigures,
        lambda found: [designs_sheet(found), reached_sheet(found), _heard(found)],
        as_json,
        silence_limit_seconds=60 * max(times.values()) + 3600,
    )


_RECIPES: dict[str, dict[str, Any]] = {
    "adapter": {},
    "both": {"trains": "both"},
    "projector": {"trains": "projector"},
    "without-input-kl": {"loss_weights": {"input_kl": 0.0}},
    "without-response-kl": {"loss_weights": {"response_kl": 0.0}},
    "cross-entropy": {"loss_weights": {"input_kl": 0.0, "response_kl": 0.0, "response_ce": 1.0}},
}


@app.command()
def distil(
    enrol: Enrol,
    judge: Judged,
    generation: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the generation to distil. Default: the shipped one.", exists=True
        ),
    ] = None,
    recipes: Annotated[
        str, typer.Option(help=f"Recipes to train, comma-separated: {', '.join(_RECIPES)}.")
    ] = "adapter",
    seconds: Annotated[
        float,
        typer.Option(min=1, max=36_000, help="CPU seconds per thread to train each recipe."),
    ] = 180.0,
    rank: Annotated[int, typer.Option(min=1, max=256, help="Rank of the adapter.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="Learning rate.")] = 3e-4,
    learnt: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Number of utterances to make teacher targets for."),
    ] = 100,
    utterances: Annotated[
        int, typer.Option(min=1, max=10_000, help="Number of utterances to judge from each set.")
    ] = 50,
    out: Annotated[
        Path, typer.Option(help="Folder to write figures.json and heard.jsonl to.")
    ] = Path("build/bench-distil"),
    seed: Annotated[int, typer.Option(help="Random seed for the adapter and batches.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how well replies to speech match replies to the true text.

    Speech is answered with distillation and without it.
    """
    names = [name.strip() for name in recipes.split(",")]
    if unknown := [name for name in names if name not in _RECIPES]:
        raise AttuneError(f"there is no recipe {unknown[0]}; choose from {', '.join(_RECIPES)}")
    chosen = settings()
    folder = _folder(out)
    common = _common(chosen, folder, enrol, judge)
    if generation is not None:
        common["base"] = generation.resolve()
    job = BenchDistilJob(
        **common,
        recipes={
            name: DistilRecipe(
                seconds=seconds, rank=rank, learning_rate=learning_rate, **_RECIPES[name]
            )
            for name in names
        },
        learnt_utterances=learnt,
        reply_utterances=utterances,
        threads=chosen.adapt.threads,
        seed=seed,
    )
    _run(
        job,
        DistilFigures,
        lambda found: [
            recipes_sheet(found),
            _heard(found),
            f"{found.lessons} distillation samples, made or read in {found.lessons_seconds:.0f} s",
        ],
        as_json,
        silence_limit_seconds=3600.0,
    )


@app.command()
def memory(
    shapes: Annotated[
        str, typer.Option(help="Language models to measure, comma-separated.")
    ] = "llama-3.2-1b,qwen3-1.7b",
    positions: Annotated[
        str, typer.Option(help="Conversation tokens per step, comma-separated.")
    ] = "64,256,512",
    steps: Annotated[
        int, typer.Option(min=1, max=1000, help="Training steps per measurement.")
    ] = 3,
    out: Annotated[
        Path, typer.Option(help="Folder to write figures.json to. Needs 1 GB for a while.")
    ] = Path("build/bench-memory"),
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads per measurement.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Measure the memory that distillation steps need, with 4-bit models of random weights."""
    lengths = [int(length) for length in _numbers("--positions", positions, 16, 4096)]
    folder = _folder(out)
    names = [name.strip() for name in shapes.split(",")]
    job = BenchMemoryJob(
        folder=folder, shapes=names, positions=lengths, steps=steps, threads=threads
    )
    _run(
        job,
        MemoryFigures,
        lambda found: [memory_sheet(found)],
        as_json,
        silence_limit_seconds=7200.0,
    )


def _numbers(option: str, text: str, least: float, most: float) -> list[float]:
    """Parse a comma-separated list of numbers. Raises AttuneError if `text` is not such a list, or
    if a number is below `least` or above `most`."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise AttuneError(
            f"{option} {text} is not a list of numbers; separate them by commas"
        ) from None
    if not all(least <= one <= most for one in numbers):
        raise AttuneError(f"{option} {text}: each must be from {least:g} to {most:g}")
    return numbers


def _times_of(designs: str, minutes: float) -> dict[str, float]:
    """Parse the value of `--designs`. Returns the training minutes of each design; raises
    AttuneError if one is not a number above 0."""
    times = {}
    for part in designs.split(","):
        name, _, own = part.strip().partition(":")
        try:
            times[name] = float(own or minutes)
        except ValueError:
            times[name] = 0.0
        if not 0 < times[name] < 10_000:
            raise AttuneError(
                f"--designs {designs}: the minutes of {part.strip()} must be a number above 0; give"
                " cif or cif:10, for example"
            )
    return times


def _run(
    job: BenchAdaptJob | BenchDistilJob | BenchMemoryJob | BenchQualityJob,
    kind: type[Figures],
    told: Callable[[Figures], list[Sheet | str]],
    as_json: bool,
    silence_limit_seconds: float = SILENT_SECONDS,
) -> None:
    """Run a benchmark in a child process and print its figures: as JSON, or as the tables and lines
    that `told` makes of them."""
    run_child(job, job.folder / "job.json", silence_limit_seconds=silence_limit_seconds)
    figures = kind.model_validate_json((job.folder / "figures.json").read_bytes())
    if as_json:
        typer.echo(escaped(figures.model_dump_json(indent=1)))
        return
    for part in told(figures):
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    console.print(
        f"{figures.machine}; the figures are in {job.folder}", highlight=False, soft_wrap=True
    )


def _heard(figures: AdaptFigures | DistilFigures | QualityFigures) -> Sheet:
    """Make a table of how well each set was heard, sorted by the name of the set."""
    return heard_sheet(sorted(figures.heard, key=lambda one: one.set))


def _folder(out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return out.resolve()


def _common(chosen: Settings, folder: Path, enrol: Path, judge: list[Path]) -> dict[str, Any]:
    """Return the fields that the jobs of all benchmarks on recordings have."""
    return {
        "folder": folder,
        "engines": model_files(chosen),
        "base": read_generation(chosen.generations / f"{BASE:04d}").folder,
        "features": chosen.cache_dir / "features",
        "enrol": enrol.resolve(),
        "judge": [path.resolve() for path in judge],
        "system_prompt": chosen.conversation.system_prompt,
    }
