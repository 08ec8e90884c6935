"""`attune engines build` and `attune doctor`: what set-up makes once, and what was found on this machine."""

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from engines.encoder_choice import choose_encoder
from engines.errors import AttuneError
from engines.footprints import footprints_of, footprints_path
from engines.generation import BASE, judged_against, read_generation
from engines.job import BaseJob, EngineFiles, Job
from engines.job import Progress as Step
from engines.models import model_path
from engines.pointers import usable
from engines.replay_set import REPLAY_UTTERANCES, count_replay, is_complete

from .child import Child
from .cli_common import AsJson, ask_daemon, console, errors, gib, print_json, settings
from .config import Settings
from .learning import GENERAL_MODEL
from .plan_keeper import plans_folder
from .promotion import earned_route
from .sensors import read_board

app = typer.Typer(help="Engines: what is computed once from the models.", no_args_is_help=True)


@app.command()
def build() -> None:
    """Export the speech encoder, choose the weights that this processor runs fastest, and write the base generation, where they
    are not there yet."""
    from engines.build import engine_files  # brings in every engine
    from engines.projector import OnnxProjector

    chosen = settings()
    _choose_weights(model_path(chosen.engines.language_model, chosen.cache_dir), chosen)
    files = engine_files(chosen.cache_dir, chosen.engines.whisper, chosen.engines.language_model)
    base = chosen.generations / f"{BASE:04d}"
    if base.exists():
        # A damaged base, or one that this version cannot use, is reported, never written over.
        OnnxProjector(read_generation(base).projector, threads=1)
        if files.encoder.is_file() and is_complete(_features(chosen)):
            typer.echo("the engines are there")
            return
    folder = chosen.cache_dir / "engines" / "base"
    _make_folder(folder)
    _make_folder(chosen.generations)
    job = BaseJob(
        folder=folder,
        generations=chosen.generations,
        engines=files,
        features=_features(chosen),
        threads=chosen.adapt.threads,
    )
    run_child(job, folder / "job.json")
    typer.echo(f"the speech encoder is at {files.encoder}, the base generation at {base}")


def _choose_weights(language_model: Path, chosen: Settings) -> None:
    from engines.requantize import compare_weights, is_compared, time_both  # brings in llama.cpp

    if not is_compared(language_model, chosen.cache_dir):
        compare_weights(language_model, chosen.cache_dir, partial(time_both, threads=chosen.engines.threads))
        typer.echo(f"the language model {_weights(language_model, chosen.cache_dir)[1]}")


def _weights(language_model: Path, cache_dir: Path) -> tuple[bool, str]:
    """Whether the faster weights are known, and how llama.cpp runs it, for people."""
    from engines.requantize import is_compared, read_comparison, served_weights  # brings in llama.cpp

    found = read_comparison(language_model, cache_dir)
    if not is_compared(language_model, cache_dir):
        return False, "runs in its own weights; `attune engines build` finds out whether 8-bit ones are faster here"
    if found is None:
        return True, "runs in its own weights, which llama.cpp computes well"
    runs = "8-bit weights" if served_weights(language_model, cache_dir) != language_model else "its own weights"
    return True, f"runs in {runs}: in 8 bits a prompt takes {found.prompt_ratio:.2f} of the time, a token {found.reply_ratio:.2f}"


def run_child(job: Job, job_path: Path, command: Sequence[str] | None = None, silence_limit_seconds: float = 1800.0) -> None:
    """Run a job to its end with a progress bar, by `command` or else a calibration child. Raises AttuneError where it fails."""
    ended = threading.Event()
    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), console=errors) as bar:
        task = bar.add_task("start", total=1.0, note="")

        def show(step: Step) -> None:
            if step.stage != "done":  # its note is a bare number; what was said before it says more
                bar.update(task, description=step.stage, completed=step.fraction, note=escape(step.note))

        child = Child.start(
            job, job_path, command, on_progress=show, on_end=ended.set, silence_limit_seconds=silence_limit_seconds
        )
        try:
            while (outcome := child.poll()) is None:
                ended.wait(1.0)
        finally:
            child.kill("the command ended")
    if outcome.kind != "done":
        raise AttuneError(outcome.reason)


def doctor(as_json: AsJson = False) -> None:
    """Show what was found on this machine for each part, and what takes the place of what is missing."""
    found = _findings(settings())
    if as_json:
        print_json({part: {"well": well, "found": text} for part, well, text in found})
        return
    table = Table("part", "", Column("found", overflow="fold"))
    for part, well, text in found:
        table.add_row(part, "[green]ok[/green]" if well else "[yellow]look[/yellow]", escape(text))
    console.print(table)


def _findings(chosen: Settings) -> list[tuple[str, bool, str]]:
    from engines.build import engine_files  # brings in every engine

    found: list[tuple[str, bool, str]] = []
    files = None
    try:
        files = engine_files(chosen.cache_dir, chosen.engines.whisper, chosen.engines.language_model)
        found.append(("speech to text", True, f"{chosen.engines.whisper}, CTranslate2 on the processor"))
        settled, note = _weights(files.language_model, chosen.cache_dir)
        found.append(("language model", settled, f"{chosen.engines.language_model}, llama.cpp; {note}"))
        there = files.encoder.is_file()
        text = "not exported; run `attune engines build`"
        if there:
            plans = plans_folder(chosen.cache_dir)
            text = choose_encoder(files.encoder, chosen.engines.encoder_precision, plans, time.time()).why
        found.append(("speech encoder", there, text))
    except AttuneError as error:
        found.append(("models", False, str(error)))
    generation, problems = usable(chosen.generations)
    for problem in problems:
        found.append(("generation", False, problem))
    if generation is None:
        found.append(("generation", False, "none, so speech takes the cascade; run `attune engines build`"))
    else:
        route, reason = earned_route(generation.card, judged_against(chosen.generations, generation.number))
        found.append(("generation", True, f"{generation.number:04d}; speech takes the {route} route: {reason}"))
    found += [
        ("general set", *_general_set(chosen)),
        ("replay set", *_replay_set(chosen)),
        ("memory budget", *_budget(chosen, files)),
        ("microphone", *_microphone(chosen)),
        ("sensors", *_sensors(chosen)),
    ]
    try:
        [status] = ask_daemon({"command": "status"}, quiet_seconds=5.0)
        found.append(("daemon", True, f"process {status['process']} answers at {chosen.control.socket}"))
    except AttuneError as error:
        found.append(("daemon", False, str(error)))
    return found


def _budget(chosen: Settings, files: EngineFiles | None) -> tuple[bool, str]:
    unloading = "models may be unloaded" if chosen.budget.unload else "models stay open"
    text = f"a round may take Attune to {gib(chosen.budget.allowed_bytes)}, {unloading}; "
    if files is None:
        return False, text + "what a round takes is not known without the models"
    try:
        _, measured_here = footprints_of(files, footprints_path(chosen.cache_dir))
    except AttuneError as error:
        return False, text + str(error)
    if not measured_here:
        return False, text + "planned by figures of another machine; `attune calibrate memory` measures this one"
    return True, text + "planned by what was measured here"


def _general_set(chosen: Settings) -> tuple[bool, str]:
    try:
        return True, f"at {model_path(GENERAL_MODEL, chosen.cache_dir)}"
    except AttuneError as error:
        return False, f"{error}; without it no candidate is promoted"


def _replay_set(chosen: Settings) -> tuple[bool, str]:
    count = count_replay(_features(chosen))
    if is_complete(_features(chosen)):
        return True, f"{count} synthetic utterances, against forgetting"
    return (
        False,
        f"{count} of {REPLAY_UTTERANCES} utterances, so rounds forget more; install espeak-ng and run `attune engines build`",
    )


def _features(chosen: Settings) -> Path:
    return chosen.cache_dir / "features"


def _microphone(chosen: Settings) -> tuple[bool, str]:
    if chosen.audio.source:
        return True, f"not used: audio.source is {chosen.audio.source}"
    try:
        import sounddevice  # asks the sound server when it is imported
    except OSError as error:
        return False, f"PortAudio is missing ({error}), so only commands are answered; install libportaudio2"
    inputs = [device["name"] for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    wanted = [name for name in inputs if chosen.audio.device in name]
    if wanted:
        return True, ", ".join(wanted)
    return (
        False,
        f"none called “{chosen.audio.device}”; the daemon answers commands and waits for it"
        if inputs
        else "none; the daemon answers commands and waits for one",
    )


def _sensors(chosen: Settings) -> tuple[bool, str]:
    try:
        board = read_board(chosen.state_dir if chosen.state_dir.exists() else Path("/"))
    except AttuneError as error:
        return False, str(error)
    found = [
        f"{board.available_bytes / 1e9:.1f} GB of memory available",
        "no temperature sensor" if board.temperature_celsius is None else f"{board.temperature_celsius:.0f} °C",
    ]
    if board.gpu_load_percent is not None:
        found.append(f"GPU at {board.gpu_load_percent:.0f} %")
    if board.power_mode is not None:
        found.append(f"power mode {board.power_mode}")
    enough = board.available_bytes >= chosen.idle.min_available_bytes
    return enough, ", ".join(found if enough else [*found, "too little to train"])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AttuneError(
            f"the folder {folder} cannot be made: {error.strerror}; set state_dir and cache_dir to others"
        ) from error
