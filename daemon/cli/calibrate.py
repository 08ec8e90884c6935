"""`attune calibrate`: measures this device, so that memory plans and engines rest on its own
figures."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from engines.errors import AttuneError
from engines.generations.folder import BASE, Generation
from engines.generations.pointers import usable
from engines.jobs.calibration_jobs import FootprintJob, PrecisionJob
from engines.jobs.footprints import Footprints, footprints_path, read_footprints
from engines.jobs.messages import EngineFiles
from engines.models.general_speech import retention_examples
from engines.whisper.precision import PRECISIONS, ErrorRates, PrecisionCard, read_card

from ..config.installation_key import share_keys
from ..config.settings import Settings
from ..model_files import model_files
from ..training.round_inputs import stored_examples
from .common import AsJson, console, gib, print_json, settings
from .engines import features_folder, prepare, run_child
from .sheet import Sheet

app = typer.Typer(help="Measure this device.", no_args_is_help=True)

_RECORDINGS = 24


@app.command()
def memory(
    whisper: Annotated[
        str | None,
        typer.Option(
            help="Measure with this speech model, a name from `attune models list`. Default: the"
            " one in use.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the memory and time that each stage of a round needs on this device.

    Takes minutes. `attune adapt --plan` and `attune engines recommend` use the result.
    """
    chosen = settings()
    folder, output = chosen.cache_dir / "footprints", footprints_path(chosen.cache_dir)
    if whisper not in (None, chosen.engines.whisper):
        chosen = _with_whisper(chosen, whisper, folder / "state")
        prepare(chosen)
    files, generation = _opened(chosen)
    base = chosen.generations / f"{BASE:04d}"
    job = FootprintJob(
        folder=folder,
        output=output,
        engines=files,
        base=base if base.is_dir() else generation.folder,
        features=features_folder(chosen),
        recordings=retention_examples(chosen.cache_dir)[:_RECORDINGS],
        system_prompt=chosen.conversation.system_prompt,
        context_tokens=chosen.llm.context_tokens,
        threads=chosen.adapt.threads,
        recognises=chosen.adapt.recogniser_seconds > 0,
        distils=chosen.adapt.distil_seconds > 0,
    )
    share_keys(chosen, folder / "job.json")
    run_child(job, folder / "job.json")
    shutil.rmtree(folder / "state", ignore_errors=True)
    found = next((one for one in read_footprints(output) if one.are_of(files)), None)
    if found is None:
        raise AttuneError(f"{output} was not written; {folder / 'child.log'} may say why")
    if as_json:
        print_json(found.model_dump())
        return
    console.print(stages_sheet(found))
    console.print(escape(f"{found.machine}; kept in {output}"), highlight=False, soft_wrap=True)


def _with_whisper(chosen: Settings, whisper: str, state_dir: Path) -> Settings:
    """Return settings in which the speech model is `whisper`, with a state of its own."""
    engines = chosen.engines.model_copy(update={"whisper": whisper})
    return chosen.model_copy(update={"engines": engines, "state_dir": state_dir})


@app.command()
def int8(as_json: AsJson = False) -> None:
    """Make the speech encoder in float16 and in 8 bits, and check both.

    The 8-bit encoder is calibrated on your utterances. The command prints which of the two may be
    used.
    """
    chosen = settings()
    files, generation = _opened(chosen)
    folder = chosen.cache_dir / "engines" / "precision"
    job = PrecisionJob(
        folder=folder,
        engines=files,
        generation=generation.folder,
        examples=[*stored_examples(chosen), *retention_examples(chosen.cache_dir, whole=True)],
        threads=chosen.adapt.threads,
    )
    share_keys(chosen, folder / "job.json")
    run_child(job, folder / "job.json")
    cards = [
        card
        for precision in PRECISIONS
        if (card := read_card(files.encoder, precision)) is not None
    ]
    if as_json:
        print_json([card.model_dump() | {"problem": card.problem} for card in cards])
        return
    console.print(precisions_sheet(cards))
    for card in cards:
        console.print(f"{card.precision}: {card.problem or 'may be used'}", highlight=False)


def _opened(chosen: Settings) -> tuple[EngineFiles, Generation]:
    """Return the files of the models and the served generation. Raises AttuneError if either is
    missing."""
    files = model_files(chosen)
    generation, _ = usable(chosen.generations)
    if generation is None:
        raise AttuneError("there is no generation to measure with; run `attune engines build`")
    return files, generation


def precisions_sheet(cards: list[PrecisionCard]) -> Sheet:
    """Make a table that compares each precision of the encoder with the float32 original."""
    rows: list[tuple[str, ...]] = []
    if cards:
        first = cards[0].original
        heard = (f"{100 * first.token_error:.1f} %", f"{100 * first.transcript_error:.1f} %")
        rows.append(("float32", "", "100 %", "1", "1", *heard))
    for card in cards:
        nearness = (f"{100 * card.size:.0f} %", f"{card.cosine:.4f}", f"{card.cosine_worst:.4f}")
        rows.append((card.precision, card.method, *nearness, *_errors(card.heard)))
    return Sheet(
        (
            "precision",
            "method",
            "size",
            "cosine",
            "worst of 100",
            "token error",
            "transcript error",
        ),
        rows,
    )


def _errors(heard: ErrorRates) -> list[str]:
    return [f"{100 * rate:.1f} %" for rate in (heard.token_error, heard.transcript_error)]


def stages_sheet(found: Footprints) -> Sheet:
    """Make a table of the memory that each stage of a round needs."""
    rows = []
    for name, stage in found.stages.items():
        grows = f"{stage.bytes_per_position * 1000 / 2**20:.0f}" if stage.bytes_per_position else ""
        levels = [gib(round(level)) for level in (stage.beside_bytes, stage.alone_bytes)]
        rows.append((name, *levels, grows, gib(round(stage.residual_bytes))))
    return Sheet(("stage", "beside the daemon", "alone", "MiB / 1000 frames", "off by"), rows)
