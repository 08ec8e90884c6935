"""`attune doctor`: shows what each part uses on this machine, and what replaces a missing part."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from engines.device.gpu import find_gpu
from engines.device.runtimes import (
    ENCODER,
    LANGUAGE_MODEL,
    TRANSCRIBER,
    Runtimes,
    read_runtimes,
    runtimes_path,
)
from engines.errors import AttuneError
from engines.generations.folder import judged_against
from engines.generations.pointers import usable
from engines.jobs.footprints import footprints_of, footprints_path
from engines.jobs.messages import EngineFiles
from engines.jobs.replay_set import REPLAY_UTTERANCES, count_replay, is_complete
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL
from engines.voices.pace import measure, read_paces
from engines.wake.words import NONE as NO_WAKE_WORD
from engines.whisper.encoder_choice import choose_encoder
from engines.whisper.plan_cache import plans_folder

from ..config.settings import Settings
from ..control.requests import GetStatus
from ..events.service import Status
from ..model_files import model_files
from ..serving.earned_route import earned_route
from ..speaking.chosen_voice import NONE, chosen_voice
from ..spoken_turns import open_wake_word
from ..training.sensors import read_board
from .common import AsJson, ask_daemon_for, console, gib, print_json, settings
from .data.privacy_findings import privacy_findings
from .engines import described_weights, features_folder
from .sheet import Sheet


def doctor(
    privacy: Annotated[
        bool,
        typer.Option("--privacy", help="Show how your data is kept, and who could get at it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which parts work on this machine, and what replaces those that are missing."""
    found = privacy_findings(settings()) if privacy else _findings(settings())
    if as_json:
        print_json({part: {"well": well, "found": text} for part, well, text in found})
        return
    rows = [
        (part, Text("ok", "green") if well else Text("look", "yellow"), text)
        for part, well, text in found
    ]
    console.print(Sheet(("part", "", "found"), rows, {"found"}))


def _findings(chosen: Settings) -> list[tuple[str, bool, str]]:
    found: list[tuple[str, bool, str]] = []
    files = None
    try:
        files = model_files(chosen)
        tried = read_runtimes(runtimes_path(chosen.cache_dir))
        found.append(
            (
                "speech to text",
                True,
                f"{chosen.engines.whisper}, CTranslate2 {_where(tried, TRANSCRIBER)}",
            )
        )
        settled, note = described_weights(
            model_path(chosen.engines.language_model, chosen.cache_dir), chosen.cache_dir
        )
        served = (
            f"{chosen.engines.language_model}, llama.cpp {_where(tried, LANGUAGE_MODEL)}; {note}"
        )
        found.append(("language model", settled, served))
        there = files.encoder.is_file()
        text = "not exported; run `attune engines build`"
        if there:
            plans = plans_folder(chosen.cache_dir)
            device = tried.device(ENCODER) if tried is not None else "cpu"
            text = choose_encoder(
                files.encoder, chosen.engines.encoder_precision, plans, time.time(), device
            ).why
        found.append(("speech encoder", there, text))
    except AttuneError as error:
        found.append(("models", False, str(error)))
    generation, problems = usable(chosen.generations)
    for problem in problems:
        found.append(("generation", False, problem))
    if generation is None:
        found.append(
            ("generation", False, "none, so speech takes the cascade; run `attune engines build`")
        )
    else:
        route, reason = earned_route(
            generation.card, judged_against(chosen.generations, generation.number)
        )
        found.append(
            (
                "generation",
                True,
                f"{generation.number:04d}; speech takes the {route} route: {reason}",
            )
        )
    found += [
        ("GPU", *_gpu()),
        ("retention set", *_retention_set(chosen)),
        ("replay set", *_replay_set(chosen)),
        ("memory budget", *_budget(chosen, files)),
        ("microphone", *_microphone(chosen)),
        ("wake word", *_wake_word(chosen)),
        ("voice", *_voice(chosen)),
        ("loudspeaker", *_loudspeaker(chosen)),
        ("sensors", *_sensors(chosen)),
    ]
    try:
        status = ask_daemon_for(Status, GetStatus(), quiet_seconds=5.0)
        encoder = f"; its speech encoder runs by {status.encoder}" if status.encoder else ""
        found.append(
            (
                "daemon",
                True,
                f"process {status.process} answers at {chosen.control.socket}{encoder}",
            )
        )
    except AttuneError as error:
        found.append(("daemon", False, str(error)))
    return found


def _gpu() -> tuple[bool, str]:
    try:
        gpu = find_gpu()
    except AttuneError as error:
        return (
            True,
            (
                f"none: {error}; everything runs on the processor, and docs/jetson.md says what a"
                " GPU would run"
            ),
        )
    return True, f"{gpu.name}, compute capability {gpu.compute_capability}, CUDA {gpu.driver}"


def _where(tried: Runtimes | None, claim: str) -> str:
    """Say where an engine computes and, if that is the processor, why not on a GPU."""
    try:
        find_gpu()
    except AttuneError as error:
        return f"on the processor: {error}"
    if tried is None:
        return (
            "on the processor until it was tried on the GPU; the daemon tries it while nobody"
            " talks, and `attune engines build` tries it now"
        )
    return "on the GPU" if tried.on_gpu(claim) else f"on the processor: {tried.why(claim)}"


def _budget(chosen: Settings, files: EngineFiles | None) -> tuple[bool, str]:
    unloading = "models may be unloaded" if chosen.budget.unload else "models stay open"
    text = f"in a round Attune may use {gib(chosen.budget.allowed_bytes)}, {unloading}; "
    if files is None:
        return False, text + "the memory use of a round is not known without the models"
    try:
        _, measured_here = footprints_of(files, footprints_path(chosen.cache_dir))
    except AttuneError as error:
        return False, text + str(error)
    if not measured_here:
        return (
            False,
            text
            + "planned with figures of another machine; run `attune calibrate memory` to measure"
            " this one",
        )
    return True, text + "planned with figures of this machine"


def _retention_set(chosen: Settings) -> tuple[bool, str]:
    try:
        return True, f"at {model_path(GENERAL_MODEL, chosen.cache_dir)}"
    except AttuneError as error:
        return False, f"{error}; without it no candidate is promoted"


def _replay_set(chosen: Settings) -> tuple[bool, str]:
    count = count_replay(features_folder(chosen))
    if is_complete(features_folder(chosen)):
        return True, f"{count} synthetic utterances, against forgetting"
    return (
        False,
        (
            f"{count} of {REPLAY_UTTERANCES} utterances, so rounds forget more; install espeak-ng"
            " and run `attune engines build`"
        ),
    )


def _microphone(chosen: Settings) -> tuple[bool, str]:
    if chosen.audio.source:
        return True, f"not used: audio.source is {chosen.audio.source}"
    return _devices("input", chosen.audio.device, "so only commands are answered")


def _wake_word(chosen: Settings) -> tuple[bool, str]:
    word = chosen.wake.word
    if word == NO_WAKE_WORD:
        return True, "none: everything is heard, as wake.word says"
    try:
        phrase = open_wake_word(chosen)[1]
    except AttuneError as error:
        return False, f"{error}; only `attune call` opens the microphone"
    return True, f"your own: “{phrase}”" if phrase else word


def _voice(chosen: Settings) -> tuple[bool, str]:
    if chosen.speaking.voice == NONE:
        return True, "none: replies are only written, as speaking.voice says"
    try:
        voice = chosen_voice(chosen)
        pace = read_paces(chosen.cache_dir).voices.get(voice.name) or measure(
            voice, chosen.cache_dir
        )
    except AttuneError as error:
        return False, f"{error}; replies are only written"
    times = f"{voice.name}, {1 / max(0.001, pace.real_time_factor):.1f} times as fast as real time"
    return pace.keeps_up, times if pace.keeps_up else f"{times}: too slow for a conversation"


def _loudspeaker(chosen: Settings) -> tuple[bool, str]:
    if chosen.speaking.voice == NONE:
        return True, "not used: speaking.voice is none"
    return _devices("output", chosen.speaking.device, "so replies are only written")


def _devices(kind: Literal["input", "output"], wanted: str, otherwise: str) -> tuple[bool, str]:
    """The sound devices of one kind whose names contain `wanted`."""
    try:
        import sounddevice  # asks the sound server when it is imported
    except OSError as error:
        return False, f"PortAudio is missing ({error}), {otherwise}; install libportaudio2"
    names = [
        device["name"]
        for device in sounddevice.query_devices()
        if device[f"max_{kind}_channels"] > 0
    ]
    if fitting := [name for name in names if wanted in name]:
        return True, ", ".join(fitting)
    none = f"none called “{wanted}”" if names else "none"
    return False, f"{none}, {otherwise}; the daemon waits for one"


def _sensors(chosen: Settings) -> tuple[bool, str]:
    try:
        board = read_board(chosen.state_dir if chosen.state_dir.exists() else Path("/"))
    except AttuneError as error:
        return False, str(error)
    found = [
        f"{board.available_bytes / 1e9:.1f} GB of memory available",
        (
            "no temperature sensor"
            if board.temperature_celsius is None
            else f"{board.temperature_celsius:.0f} °C"
        ),
    ]
    if board.gpu_load_percent is not None:
        found.append(f"GPU at {board.gpu_load_percent:.0f} %")
    if board.power_mode is not None:
        found.append(f"power mode {board.power_mode}")
    enough = board.available_bytes >= chosen.idle.min_available_bytes
    return enough, ", ".join(found if enough else [*found, "too little to train"])
