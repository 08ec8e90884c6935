"""`attune align`: makes and trains base projectors, the part that every user's rounds start from. Knows jobs, no training."""

from pathlib import Path
from typing import Annotated

import typer

from engines.errors import AttuneError
from engines.job import CorpusJob
from engines.models import model_path

from .cli_common import settings
from .cli_engines import run_child

app = typer.Typer(help="Alignment: the corpus and the training of a base projector.", no_args_is_help=True)

PIPER_GRAPH = "en_US-joe-medium.onnx"


@app.command()
def corpus(
    out: Annotated[Path, typer.Option(help="Folder that gets the corpus; what is there already is kept.")],
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="A manifest of JSON lines, or a LibriSpeech or Common Voice folder; none for synthetic speech."
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=10_000, help="Hours of synthetic speech.")] = 50.0,
    written: Annotated[int, typer.Option(min=0, max=20_000, help="Sentences that the language model writes for it.")] = 800,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 2,
    seed: Annotated[int, typer.Option(help="Of texts, voices and noises.")] = 0,
) -> None:
    """Make a corpus of encoder frames: from recordings with their texts, or from sentences spoken by synthetic voices."""
    from engines.build import engine_files  # brings in every engine

    chosen = settings()
    files = engine_files(chosen.cache_dir, chosen.engines.whisper, chosen.engines.language_model)
    if not files.encoder.is_file():
        raise AttuneError("the speech encoder is not exported; run `attune engines build`")
    out.mkdir(parents=True, exist_ok=True)
    job = CorpusJob(
        folder=out.resolve(),
        engines=files,
        kokoro=model_path("kokoro-82m", chosen.cache_dir),
        piper=model_path("piper-joe", chosen.cache_dir) / PIPER_GRAPH,
        sources=[path.resolve() for path in source or []],
        hours=hours,
        written=written,
        workers=workers,
        seed=seed,
    )
    run_child(job, out / "job.json")
    typer.echo(f"the corpus is in {out}")
