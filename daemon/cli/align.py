"""`attune align`: makes and trains base projectors and base recognisers, the parts that every
user's rounds start from. Knows jobs, no training."""

from pathlib import Path
from typing import Annotated

import typer

from engines.errors import AttuneError
from engines.jobs.calibration_jobs import CorpusJob, TrainJob, TrainRecogniserJob
from engines.jobs.programs import CALIBRATION_JOB_BY_TORCHRUN, program
from engines.models.cache import model_path

from ..model_files import model_files
from .common import say, settings
from .engines import SILENT_SECONDS, run_child

app = typer.Typer(
    help="Make a corpus, and train a base projector or a base recogniser.", no_args_is_help=True
)

PIPER_GRAPH = "en_US-joe-medium.onnx"


@app.command()
def corpus(
    out: Annotated[
        Path, typer.Option(help="Folder to write the corpus to. Existing parts are kept.")
    ],
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            help=(
                "A manifest of JSON lines, or a LibriSpeech or Common Voice folder. "
                "Without it, speech is synthesised."
            ),
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.01, max=10_000, help="Hours of synthetic speech.")
    ] = 50.0,
    written: Annotated[
        int,
        typer.Option(
            min=0,
            max=20_000,
            help="Number of sentences that the language model writes for the corpus.",
        ),
    ] = 800,
    coverage: Annotated[
        bool,
        typer.Option(
            help=(
                "Add sentences without meaning that have every word of the language model. "
                "A projector needs them, a recogniser does not."
            )
        ),
    ] = True,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Number of processes.")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed for texts, voices and noise.")] = 0,
) -> None:
    """Make a training corpus from recordings with texts, or from synthetic voices."""
    chosen = settings()
    files = model_files(chosen)
    if not files.encoder.is_file():
        raise AttuneError("the speech encoder is not exported; run `attune engines build`")
    out.mkdir(parents=True, exist_ok=True)
    job = CorpusJob(
        folder=out.resolve(),
        engines=files,
        kokoro=None if source else model_path("kokoro-82m", chosen.cache_dir),
        piper=None if source else model_path("piper-joe", chosen.cache_dir) / PIPER_GRAPH,
        sources=[path.resolve() for path in source or []],
        hours=hours,
        written=written,
        covers_vocabulary=coverage,
        workers=workers,
        seed=seed,
    )
    run_child(job, out / "job.json", silence_limit_seconds=SILENT_SECONDS * workers)
    say(f"the corpus is in {out}")


Corpora = Annotated[
    list[Path],
    typer.Argument(help="Folders made by `attune align corpus`.", exists=True, file_okay=False),
]
Minutes = Annotated[float, typer.Option(min=0.1, help="Training time in CPU minutes.")]
LearningRate = Annotated[float, typer.Option(min=1e-6, max=1.0, help="Peak learning rate.")]
Batch = Annotated[int, typer.Option(min=1, max=4096, help="Utterances per step and process.")]
AtypicalTimes = Annotated[
    int,
    typer.Option(
        min=1,
        max=100,
        help=(
            "How often each utterance of an atypical voice is used per epoch. Others are used once."
        ),
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        min=1,
        max=64,
        help="Number of processes that train together, each on its own GPU if there are several.",
    ),
]


@app.command()
def train(
    corpora: Corpora,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write projector.safetensors, card.json and the checkpoint to."
        ),
    ],
    start: Annotated[
        Path | None, typer.Option(help="A projector.safetensors to continue from.", exists=True)
    ] = None,
    minutes: Minutes = 60.0,
    learning_rate: LearningRate = 8e-4,
    batch: Batch = 16,
    atypical_times: AtypicalTimes = 1,
    processes: Processes = 1,
    seed: Annotated[int, typer.Option(help="Random seed for weights, batches and dropout.")] = 0,
) -> None:
    """Train a base projector on one or more corpora.

    A stopped run continues where it was.
    """
    chosen = settings()
    out.mkdir(parents=True, exist_ok=True)
    job = TrainJob(
        folder=out.resolve(),
        engines=model_files(chosen),
        corpora=[folder.resolve() for folder in corpora],
        start=start.resolve() if start else None,
        minutes=minutes,
        learning_rate=learning_rate,
        batch=batch,
        atypical_times=atypical_times,
        threads=max(1, chosen.adapt.threads // processes),
        seed=seed,
    )
    _run_together(job, out, processes)
    say(f"the projector is at {out / 'projector.safetensors'}, its card beside it")


@app.command()
def recogniser(
    corpora: Corpora,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write recogniser.safetensors, recogniser.json and the checkpoint to."
        ),
    ],
    start: Annotated[
        Path | None, typer.Option(help="A recogniser.safetensors to continue from.", exists=True)
    ] = None,
    minutes: Minutes = 60.0,
    learning_rate: LearningRate = 1e-3,
    rank: Annotated[
        int, typer.Option(min=1, max=512, help="Rank of the changes. --start has its own.")
    ] = 32,
    batch: Batch = 16,
    atypical_times: AtypicalTimes = 2,
    processes: Processes = 1,
    seed: Annotated[int, typer.Option(help="Random seed for weights, batches and dropout.")] = 0,
) -> None:
    """Train a base recogniser on one or more corpora.

    A stopped run continues where it was.
    """
    chosen = settings()
    out.mkdir(parents=True, exist_ok=True)
    job = TrainRecogniserJob(
        folder=out.resolve(),
        engines=model_files(chosen),
        corpora=[folder.resolve() for folder in corpora],
        start=start.resolve() if start else None,
        minutes=minutes,
        learning_rate=learning_rate,
        rank=rank,
        batch=batch,
        atypical_times=atypical_times,
        threads=max(1, chosen.adapt.threads // processes),
        seed=seed,
    )
    _run_together(job, out, processes)
    say(f"the recogniser is at {out / 'recogniser.safetensors'}, its card beside it")


def _run_together(job: TrainJob | TrainRecogniserJob, out: Path, processes: int) -> None:
    """Run `job` in one process, or in several under torchrun."""
    together = program(CALIBRATION_JOB_BY_TORCHRUN, str(processes))
    run_child(
        job, out / "job.json", together if processes > 1 else None, SILENT_SECONDS * processes
    )
