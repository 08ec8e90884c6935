"""`attune wake` and `attune call`: what has to be said before Attune hears anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from engines.errors import AttuneError
from engines.wake.own_phrase import LEAST_TAKES, MOST_TAKES, USUAL_TAKES, read_phrase
from engines.wake.words import BUTTON, NONE, OWN, READY_MADE

from ...client.own_phrase import learn_phrase
from ...config.choice import choose
from ...control.requests import Call, LearnPhrase
from ...events.event import Event
from ...events.wake import PhraseCompared, PhraseLearnt, TakeAsked, TakeRefused
from ...plain_text import expanded
from ...spoken_turns import own_phrase_path
from ..common import AsJson, ask_daemon, console, loaded, print_json, print_json_line, settings
from ..common import say as print_line
from ..engines import tell_daemon
from ..sheet import Sheet

app = typer.Typer(
    no_args_is_help=True, help="Choose what calls Attune, and record your own phrase."
)

_ABOUT = {
    NONE: "nothing has to be said: everything is heard",
    BUTTON: "only `attune call` opens the microphone",
    **{name: f"“{name.replace('_', ' ')}”, ready-made" for name in READY_MADE},
}


@app.command("list")
def list_words(as_json: AsJson = False) -> None:
    """Show what can call Attune, and what does."""
    chosen = settings()
    path = own_phrase_path(chosen.state_dir)
    try:
        phrase = read_phrase(path)
        own = f"“{phrase.text}”, your own, threshold {phrase.threshold:.3f}"
        state = "ready"
    except AttuneError as error:
        own, state = "a phrase of your own, from a few recordings", str(error)
    found = [
        *((name, about, "ready") for name, about in _ABOUT.items()),
        (OWN, own, state),
    ]
    if as_json:
        keys = ("name", "about", "state")
        print_json([dict(zip(keys, one, strict=True)) for one in found])
        return
    rows = [
        (f"{name} (chosen)" if name == chosen.wake.word else name, about, state)
        for name, about, state in found
    ]
    console.print(Sheet(("wake word", "what it is", "state"), rows, ("what it is", "state")))


@app.command()
def use(
    word: Annotated[str, typer.Argument(help="A name from `attune wake list`.")],
) -> None:
    """Choose what has to be said before Attune hears anything."""
    if word == OWN:
        read_phrase(own_phrase_path(settings().state_dir))  # raises AttuneError if there is none
    elif word not in _ABOUT:
        raise AttuneError(f"no wake word is called {word!r}; `attune wake list` shows them")
    _use(word)


@app.command()
def record(
    phrase: Annotated[str, typer.Argument(help="The phrase, in quotes.")],
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="Recordings of it, instead of the microphone.", show_default=False),
    ] = None,
    takes: Annotated[
        int,
        typer.Option(min=LEAST_TAKES, max=MOST_TAKES, help="How often you are asked to say it."),
    ] = USUAL_TAKES,
    as_json: AsJson = False,
) -> None:
    """Record a phrase of your own, and call Attune by it.

    Say it as you always would, each time with a pause after it. It is compared with what you said
    otherwise, so that nothing else calls.
    """
    if not phrase.strip():
        raise AttuneError("the phrase has no words; give it in quotes")
    command = LearnPhrase(text=" ".join(phrase.split()), takes=takes)
    paths = [expanded(one) for one in recordings or ()]
    events = learn_phrase(settings().control.socket, command, paths)
    learnt = _follow(events, command.text, as_json)
    if not as_json:
        compared = f"{learnt.others_seconds / 60:.1f} minutes of other speech"
        print_line(f"learnt from {learnt.takes} recordings, compared with {compared}")
    _use(OWN)


def call(
    end: Annotated[
        bool, typer.Option("--end", help="End what is being said, as when a button is released.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have Attune hear what is said next, without a wake word: for a button."""
    for event in ask_daemon(Call(action="end" if end else "begin")):
        if as_json:
            print_json_line(event)


def _follow(events: Iterator[Event], phrase: str, as_json: bool) -> PhraseLearnt:
    """Show how a phrase is learnt; returns what came of it."""
    learnt: PhraseLearnt | None = None
    with Progress(console=console, transient=True, disable=as_json) as progress:
        bar = None
        for event in events:
            if as_json:
                print_json_line(event)
            match event:
                case TakeAsked(number=number, of=of):
                    if not as_json:
                        console.print(f"{number} of {of}: say “{escape(phrase)}”", highlight=False)
                case TakeRefused(problem=problem):
                    if not as_json:
                        console.print(f"[yellow]{escape(problem)}[/yellow]", soft_wrap=True)
                case PhraseCompared(recordings=done, of=of):
                    bar = progress.add_task("comparing with other speech") if bar is None else bar
                    progress.update(bar, completed=done, total=of)
                case PhraseLearnt():
                    learnt = event
                case _:
                    pass
    if learnt is None:
        raise AttuneError("the daemon ended before the phrase was learnt; its log says why")
    return learnt


def _use(word: str) -> None:
    choice = choose("wake", "wake.word", word, "attune wake use", loaded)
    print_line(f"wake.word is {word} (set in {choice.path})")
    tell_daemon("the daemon uses it")
