"""`attune engines`: builds what is computed once from the models, and checks whether it can be
trusted on this machine."""

import importlib.metadata
import json
import platform
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from engines.device.gpu import has_gpu
from engines.device.runtimes import read_runtimes, runtimes_path
from engines.errors import AttuneError
from engines.files import write_atomically
from engines.generations.folder import BASE, read_generation
from engines.jobs.calibration_jobs import BaseJob, Job
from engines.jobs.engine_jobs import EngineJob, TrialJob
from engines.jobs.messages import EngineFiles
from engines.jobs.messages import Progress as Step
from engines.jobs.replay_set import is_complete
from engines.models.cache import model_path
from engines.models.general_speech import retention_examples
from engines.whisper.encoder_choice import Choice, choose_encoder, plan_job
from engines.whisper.plan_cache import PlanCard, Quarantine, list_plans, plans_folder, quarantine

from ..client.socket_client import NoDaemonError
from ..config.settings import Settings
from ..control.requests import Reload
from ..jobs.child import Child
from ..jobs.engine_builds import ENGINE_COMMAND
from ..model_files import model_files
from .common import AsJson, ask_daemon, console, errors, print_json, say, settings
from .sheet import Sheet

if TYPE_CHECKING:
    from engines.selftest.claims import Request
    from engines.selftest.runner import Verdict

SILENT_SECONDS = 1800.0
"""Default limit on the processor seconds per thread that a job may take without a progress line."""

app = typer.Typer(help="Build and check the engines.", no_args_is_help=True)


@app.command()
def build() -> None:
    """Prepare the engines and the base generation.

    Exports the speech encoder and chooses the weights that this processor runs fastest. What is
    already there is kept.
    """
    if prepare(settings()):
        tell_daemon()


def prepare(chosen: Settings) -> bool:
    """Prepare what is missing of the engines and the base generation. Returns whether a running
    daemon should open it. Raises AttuneError if a model or the base cannot be used."""
    from engines.alignment.projector import OnnxProjector

    names = dict.fromkeys((chosen.engines.language_model, chosen.engines.aligned_language_model))
    measured = [_choose_weights(model_path(one, chosen.cache_dir), chosen) for one in names]
    chose = any(measured)
    files = model_files(chosen)
    base = chosen.generations / f"{BASE:04d}"
    if base.exists():
        # A damaged base, or one that this version cannot use, is reported, never written over.
        graph = read_generation(base).projector
        if graph is not None:
            OnnxProjector(graph, threads=1)
        if files.encoder.is_file() and is_complete(features_folder(chosen)):
            say("the engines are there")
            _use_gpu(chosen, files)
            return chose
    serves_later = not (base.exists() and files.encoder.is_file())
    folder = chosen.cache_dir / "engines" / "base"
    _make_folder(folder)
    _make_folder(chosen.generations)
    job = BaseJob(
        folder=folder,
        generations=chosen.generations,
        engines=files,
        features=features_folder(chosen),
        threads=chosen.adapt.threads,
    )
    run_child(job, folder / "job.json")
    say(f"the speech encoder is at {files.encoder}, the base generation at {base}")
    _use_gpu(chosen, files)
    return serves_later or chose


def _use_gpu(chosen: Settings, files: EngineFiles) -> None:
    """If there is a GPU, try which engines compute on it, and build the encoder's plan or try the
    existing one."""
    path = runtimes_path(chosen.cache_dir)
    if has_gpu() and read_runtimes(path) is None:
        job = TrialJob(engines=files, output=path, threads=chosen.engines.threads)
        run_child(job, path.parent / "trials.json", ENGINE_COMMAND)
    choice = _choice(chosen, files)
    if choice.step in ("build", "try"):
        _run_plan_job(chosen, choice, tries_only=choice.step == "try")
        choice = _choice(chosen, files)
    if choice.key is not None:
        say(f"the speech encoder runs by {choice.why}")


def _choice(chosen: Settings, files: EngineFiles) -> Choice:
    return choose_encoder(
        files.encoder, chosen.engines.encoder_precision, plans_folder(chosen.cache_dir), time.time()
    )


def _run_plan_job(chosen: Settings, choice: Choice, tries_only: bool) -> None:
    """Build or try the encoder's plan. Puts the plan in quarantine and raises AttuneError if it
    cannot be trusted."""
    plans = plans_folder(chosen.cache_dir)
    assert choice.key is not None
    job = plan_job(choice, plans, chosen.engines.threads, tries_only=tries_only)
    try:
        run_child(job, plans / "job.json", ENGINE_COMMAND)
    except AttuneError as error:
        quarantine(plans, choice.key, str(error), time.time())
        raise


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Show the engine plans built for this machine's GPU, and those that are not trusted.

    Works without a daemon.
    """
    found = list_plans(plans_folder(settings().cache_dir))
    if as_json:
        print_json([one.model_dump() | {"trusted": isinstance(one, PlanCard)} for one in found])
        return
    if not found:
        console.print(
            "there are no plans; on a machine with a GPU `attune engines build` makes one"
        )
        return
    console.print(plans_sheet(found))


def plans_sheet(found: Sequence[PlanCard | Quarantine]) -> Sheet:
    """Make a table of the plans that were built, and of whether each is trusted."""
    rows = []
    for one in found:
        key = one.key
        figures = (
            (f"{one.cosine:.4f}", f"{one.milliseconds:.1f} ms")
            if isinstance(one, PlanCard)
            else ("", "")
        )
        state = "yes" if isinstance(one, PlanCard) else f"no: {one.reason}"
        rows.append(
            (
                key.name,
                key.precision,
                key.tensorrt,
                key.compute_capability,
                key.l4t or "-",
                *figures,
                state,
            )
        )
    headings = (
        "plan",
        "precision",
        "TensorRT",
        "GPU",
        "system",
        "cosine",
        "2 s of speech",
        "trusted",
    )
    return Sheet(headings, rows, {"trusted"})


@app.command()
def verify() -> None:
    """Compare the frames of the encoder's plan with ONNX Runtime's, in a process of its own.

    The exit code is 1 if the plan cannot be trusted.
    """
    chosen = settings()
    files = model_files(chosen)
    choice = _choice(chosen, files)
    if choice.key is None or choice.step in ("build", "wait"):
        raise AttuneError(f"there is no plan to verify; the speech encoder runs by {choice.why}")
    _run_plan_job(chosen, choice, tries_only=True)
    say("the plan's frames are those of ONNX Runtime")


def _choose_weights(language_model: Path, chosen: Settings) -> bool:
    """Measure which weights are faster on this machine, unless that is known. Returns whether it
    was measured now."""
    # Imports llama.cpp.
    from engines.llm.requantize import compare_weights, is_compared, time_both

    if is_compared(language_model, chosen.cache_dir):
        return False
    compare_weights(
        language_model, chosen.cache_dir, partial(time_both, threads=chosen.engines.threads)
    )
    say(f"the language model {described_weights(language_model, chosen.cache_dir)[1]}")
    return True


def tell_daemon(done: str = "the daemon opens the new engines") -> None:
    """Make a running daemon use what was built or chosen, and tell the user that it is `done`; a
    daemon that starts later uses it then."""
    with suppress(NoDaemonError):
        list(ask_daemon(Reload(), quiet_seconds=10.0))
        say(done)


def described_weights(language_model: Path, cache_dir: Path) -> tuple[bool, str]:
    """Say how llama.cpp runs the language model. Returns whether the faster weights are known, and
    the sentence for the user."""
    # Imports llama.cpp.
    from engines.llm.requantize import is_compared, read_comparison, served_weights

    found = read_comparison(language_model, cache_dir)
    if not is_compared(language_model, cache_dir):
        return (
            False,
            (
                "runs in its own weights; `attune engines build` finds out whether 8-bit ones are"
                " faster here"
            ),
        )
    if found is None:
        return True, "runs in its own weights, which llama.cpp computes well"
    runs = (
        "8-bit weights"
        if served_weights(language_model, cache_dir) != language_model
        else "its own weights"
    )
    return (
        True,
        (
            f"runs in {runs}: in 8 bits a prompt takes {found.prompt_ratio:.2f} of the time, a"
            f" token {found.reply_ratio:.2f}"
        ),
    )


@app.command()
def selftest(
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(help="Also write the report to this file.")] = None,
) -> None:
    """Test every claim about GPUs on this machine.

    The exit code is 1 if one is refuted. A claim that could not be tested is not refuted.
    """
    from engines.selftest.runner import run_claims

    chosen = settings()
    files = model_files(chosen)
    with tempfile.TemporaryDirectory(prefix="attune-selftest-") as name:
        found = run_claims(
            _request(chosen, files, Path(name)),
            lambda verdict: None if as_json else _show_verdict(verdict),
        )
    report = {
        "version": _version("attune"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "versions": {
            name: _version(name)
            for name in ("onnxruntime", "llama-cpp-python", "ctranslate2", "tensorrt", "numpy")
        },
        "claims": [verdict.model_dump(mode="json") for verdict in found],
    }
    if out is not None:
        write_atomically(out, json.dumps(report, indent=1).encode() + b"\n")
    if as_json:
        print_json(report)
    if refuted := [verdict.claim for verdict in found if verdict.state == "refuted"]:
        raise AttuneError(f"refuted here: {', '.join(refuted)}")


def _request(chosen: Settings, files: EngineFiles, folder: Path) -> "Request":
    from engines.selftest.claims import Request  # imports every engine

    choice = _choice(chosen, files)
    return Request(
        encoder=files.encoder,
        graph=choice.graph,
        precision=choice.precision,
        language_model=files.replying_language_model,
        whisper=files.encoder_weights,
        folder=folder,
        recordings=[example.audio for example in retention_examples(chosen.cache_dir, whole=True)],
        threads=chosen.engines.threads,
    )


def _show_verdict(verdict: "Verdict") -> None:
    colour = {"held": "green", "refuted": "red", "not run": "yellow"}[verdict.state]
    figures = ", ".join(
        f"{name} {value}" for name, value in verdict.figures.items() if not isinstance(value, dict)
    )
    said = f"{verdict.says} {verdict.note or figures}".strip()
    console.print(
        f"[{colour}]{verdict.state:8}[/{colour}] {escape(said)}", highlight=False, soft_wrap=True
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_child(
    job: Job | EngineJob,
    job_path: Path,
    command: Sequence[str] | None = None,
    silence_limit_seconds: float = SILENT_SECONDS,
) -> None:
    """Run a job to its end with a progress bar, by `command` or else by a child of `calibration`.

    Raises AttuneError if the job fails, or if it takes `silence_limit_seconds` of processor time
    per thread without a progress line.
    """
    ended = threading.Event()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        console=errors,
    ) as bar:
        task = bar.add_task("start", total=1.0, note="")

        def show(step: Step) -> None:
            if step.stage != "done":  # its note is a bare number; the note before it says more
                bar.update(
                    task, description=step.stage, completed=step.fraction, note=escape(step.note)
                )

        child = Child.start(
            job,
            job_path,
            command,
            on_progress=show,
            on_end=ended.set,
            silence_limit_seconds=silence_limit_seconds,
        )
        try:
            while (outcome := child.poll()) is None:
                ended.wait(1.0)
        finally:
            child.kill("the command ended")
    if outcome.kind != "done":
        raise AttuneError(outcome.reason)


def features_folder(chosen: Settings) -> Path:
    """Return the folder in which encoder frames are cached."""
    return chosen.cache_dir / "features"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AttuneError(
            f"the folder {folder} cannot be made: {error.strerror}; set state_dir and cache_dir to"
            " other folders"
        ) from error
