"""Which voices there are, what each needs, and how each is opened. The first of those that are
ready and keep up with real time is the one that `auto` means."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import AttuneError
from ..models.cache import model_path
from ..models.manifest import find_model
from ..types import Float32
from .command import open_command, open_espeak
from .hibari import open_hibari
from .kokoro import KOKORO_RATE_HZ, Kokoro
from .piper import Piper
from .voice import Voice

HIBARI, PIPER, ESPEAK, COMMAND = "hibari", "piper-joe", "espeak-ng", "command"
_KOKORO = "kokoro-"
"""What the names of Kokoro's voices begin with."""
BEST_KOKORO = "kokoro-af_heart"
"""The voice of Kokoro's that its makers rate best."""
_KOKORO_MODEL = "kokoro-82m"
_ENGLISH = "en"


@dataclass(frozen=True)
class VoiceNeeds:
    """What a voice is opened with."""

    cache_dir: Path
    language: str = _ENGLISH
    """Code of the language that is spoken; only espeak-ng and a command know others than
    English."""
    speed: float = 1.0
    """How many times as fast as usual it speaks."""
    command: str = ""
    """The command that the voice `command` is."""
    threads: int = 1


@dataclass(frozen=True)
class ListedVoice:
    """A voice that could be used."""

    name: str
    about: str
    missing: str = ""
    """What has to be done before it can be used; empty where it is ready."""


def list_voices(needs: VoiceNeeds) -> list[ListedVoice]:
    """All voices that know the language of `needs`, the most natural first."""
    english = [*_kokoro(needs.cache_dir), _hibari(), _piper(needs.cache_dir)]
    return [
        *(english if needs.language == _ENGLISH else []),
        ListedVoice(
            ESPEAK, f"a robot's, fast, in the language {needs.language}", _lack_of_espeak()
        ),
        ListedVoice(
            COMMAND,
            "the command in speaking.command",
            "" if needs.command else "set speaking.command",
        ),
    ]


def automatic_voices(needs: VoiceNeeds) -> list[str]:
    """The names of the voices that `auto` may mean, the most natural first: those that are ready,
    and the best one of Kokoro's."""
    return [
        voice.name
        for voice in list_voices(needs)
        if not voice.missing
        and voice.name != COMMAND
        and (voice.name == BEST_KOKORO or not is_kokoro(voice.name))
    ]


def is_kokoro(name: str) -> bool:
    """Whether `name` is that of a voice of Kokoro's."""
    return name.startswith(_KOKORO)


def open_voice(name: str, needs: VoiceNeeds) -> Voice:
    """Open the voice `name`. Raises AttuneError where there is none of that name, or what it needs
    is missing or damaged."""
    from .spoken_text import spoken, without_marks  # imports a voice's package

    rate_hz, speak = _opened(name, needs)
    written_out = spoken if needs.language == _ENGLISH else without_marks

    def say(text: str) -> Float32:
        said = written_out(text)
        return speak(said) if said else np.zeros(0, np.float32)

    return Voice(name, rate_hz, say)


def _opened(name: str, needs: VoiceNeeds) -> tuple[int, Callable[[str], Float32]]:
    if name == HIBARI:
        return open_hibari(needs.speed, needs.threads)
    if name == ESPEAK:
        language = "en-us" if needs.language == _ENGLISH else needs.language
        return open_espeak(language, needs.speed)
    if name == COMMAND:
        return open_command(needs.command)
    if name == PIPER:
        [graph] = model_path(PIPER, needs.cache_dir).glob("*.onnx")
        piper = Piper(graph, needs.threads)
        return piper.rate_hz, partial(piper.speak, speed=needs.speed)
    if is_kokoro(name):
        kokoro, style = (
            Kokoro(model_path(_KOKORO_MODEL, needs.cache_dir), needs.threads),
            name.removeprefix(_KOKORO),
        )
        kokoro.check(style)
        return KOKORO_RATE_HZ, partial(kokoro.speak, voice=style, speed=needs.speed)
    raise AttuneError(f"no voice is called {name!r}; `attune voices list` shows them")


def _hibari() -> ListedVoice:
    missing = "" if find_spec("hibari") else "install the package hibari-tts"
    return ListedVoice(HIBARI, "natural, American woman, fast; comes with Attune", missing)


def _piper(cache_dir: Path) -> ListedVoice:
    return ListedVoice(PIPER, "clear, American man", _lack_of_model(PIPER, cache_dir))


def _kokoro(cache_dir: Path) -> Iterator[ListedVoice]:
    folder = find_model(_KOKORO_MODEL).found(cache_dir)
    there = {_KOKORO + path.stem for path in (folder / "voices").glob("*.bin")} if folder else set()
    missing = _lack_of_model(_KOKORO_MODEL, cache_dir)
    for name in [BEST_KOKORO, *sorted(there - {BEST_KOKORO})]:
        land = "British" if name.startswith(_KOKORO + "b") else "American"
        person = "woman" if name.removeprefix(_KOKORO)[1:2] == "f" else "man"
        yield ListedVoice(name, f"natural, {land} {person}, slow on small devices", missing)


def _lack_of_model(model: str, cache_dir: Path) -> str:
    if find_model(model).found(cache_dir) is None:
        return f"run `attune models fetch {model}`"
    return _lack_of_espeak()


def _lack_of_espeak() -> str:
    return "" if shutil.which("espeak-ng") else "run `apt-get install espeak-ng`"
