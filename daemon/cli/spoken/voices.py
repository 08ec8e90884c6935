"""`attune say`, `stop` and `voices`: speak aloud, fall silent, and choose the voice."""

import io
from pathlib import Path
from typing import Annotated

import soundfile
import typer

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.voices.automatic import AUTO
from engines.voices.catalogue import BEST_KOKORO, ListedVoice, is_kokoro, list_voices
from engines.voices.pace import Pace, read_paces

from ...config.choice import choose
from ...control.requests import Say, StopSpeaking
from ...events.speaking import Silenced, TextSaid
from ...plain_text import expanded
from ...speaking.chosen_voice import NONE, chosen_voice, voice_needs
from ...speaking.said_whole import said_whole
from ..common import (
    AsJson,
    ask_daemon,
    ask_daemon_for,
    console,
    loaded,
    print_json,
    print_json_line,
    settings,
)
from ..common import say as print_line
from ..engines import tell_daemon
from ..sheet import Sheet

app = typer.Typer(no_args_is_help=True, help="Hear the voices that say replies, and choose one.")

_TRIED = "Hello. This is how I sound. The kitchen light is on, and it is half past seven."

Text = Annotated[str, typer.Argument(help="The text to say.")]
VoiceName = Annotated[str, typer.Argument(help="Name of a voice, from `attune voices list`.")]
OutFile = Annotated[
    Path | None,
    typer.Option(help="Write a WAV file instead of speaking.", show_default=False),
]


def say(
    text: Text,
    voice: Annotated[
        str | None,
        typer.Option(help="Use this voice instead of the usual one.", show_default=False),
    ] = None,
    out: OutFile = None,
    as_json: AsJson = False,
) -> None:
    """Say a text aloud, through the loudspeaker of the daemon."""
    if not text.strip():
        raise AttuneError("there is nothing to say; give a text in quotes")
    if out is not None:
        _write(text, voice, out)
        return
    for event in ask_daemon(Say(text=text, voice=voice)):
        if as_json:
            print_json_line(event)
        elif isinstance(event, TextSaid) and not event.seconds and not event.stopped:
            raise AttuneError("nothing in the text can be said")


def stop() -> None:
    """End the current reply, and fall silent."""
    found = ask_daemon_for(Silenced, StopSpeaking())
    if not found.was_speaking:
        print_line("nothing was being said")


@app.command("list")
def list_all(
    every: Annotated[bool, typer.Option("--all", help="Show all of Kokoro's voices.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the voices, the most natural first, and what each needs."""
    found = settings()
    paces, used = read_paces(found.cache_dir).voices, found.speaking.voice
    listed = list_voices(voice_needs(found))
    voices = [
        voice
        for voice in listed
        if every or as_json or voice.name in (BEST_KOKORO, used) or not is_kokoro(voice.name)
    ]
    if as_json:
        print_json([_described(voice, paces.get(voice.name)) for voice in voices])
        return
    rows = [
        (
            f"{voice.name} (chosen)" if voice.name == used else voice.name,
            voice.about,
            _pace(paces.get(voice.name)),
            voice.missing or "ready",
        )
        for voice in voices
    ]
    console.print(Sheet(("voice", "what it is", "pace", "state"), rows, ("what it is", "state")))
    if len(listed) > len(voices):
        print_line(f"{len(listed) - len(voices)} more of Kokoro's: `attune voices list --all`")
    if used == AUTO:
        print_line("speaking.voice is auto: the first that is ready and fast enough is used")
    elif used == NONE:
        print_line("speaking.voice is none: replies are only written")


@app.command("try")
def try_voice(
    name: VoiceName,
    text: Annotated[str, typer.Argument(help="The text to say.", show_default=False)] = _TRIED,
    out: OutFile = None,
) -> None:
    """Hear a voice, without choosing it."""
    say(text, voice=name, out=out)


@app.command("use")
def use_voice(name: VoiceName) -> None:
    """Choose the voice that says replies: a name, `auto`, or `none` to have them written only."""
    if name not in (AUTO, NONE):
        chosen_voice(settings(), name)  # raises AttuneError if it cannot be opened
    choice = choose("voice", "speaking.voice", name, "attune voices use", loaded)
    print_line(f"speaking.voice is {name} (set in {choice.path})")
    tell_daemon("the daemon uses it")


def _write(text: str, voice: str | None, out: Path) -> None:
    """Write what would be said to a WAV file."""
    opened = chosen_voice(settings(), voice)
    samples = said_whole(opened, text)
    if not len(samples):
        raise AttuneError("nothing in the text can be said")
    path, wav = expanded(out), io.BytesIO()
    soundfile.write(wav, samples, opened.rate_hz, "PCM_16", format="WAV")
    try:
        write_atomically(path, wav.getvalue())
    except OSError as error:
        raise AttuneError(f"{path} cannot be written ({error.strerror})") from error
    print_line(f"{len(samples) / opened.rate_hz:.1f} s in {path}, voice {opened.name}")


def _pace(pace: Pace | None) -> str:
    if pace is None:
        return "not measured"
    times = f"{1 / max(0.001, pace.real_time_factor):.1f} x real time"
    return times if pace.keeps_up else f"{times}: too slow"


def _described(voice: ListedVoice, pace: Pace | None) -> dict[str, object]:
    return {
        "name": voice.name,
        "about": voice.about,
        "missing": voice.missing,
        "real_time_factor": None if pace is None else pace.real_time_factor,
    }
