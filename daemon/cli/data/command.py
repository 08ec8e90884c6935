"""`attune data`: what is kept of the user, and forgetting it."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from engines.encryption.key_file import has_keys, read_keys
from engines.errors import AttuneError
from engines.files import write_atomically

from ...config.installation_key import installation_keys
from ...control.requests import Forget, LabelKept, ListKept, PlayKept, RotateKeys
from ...events.privacy import (
    Forgotten,
    KeptLabelled,
    KeptListed,
    KeptPlayed,
    KeptUtterance,
    KeysRotated,
    ToBeForgotten,
)
from ...plain_text import expanded
from ...privacy.receipts import read_receipt
from ..common import (
    AsJson,
    ask_daemon,
    ask_daemon_for,
    console,
    counted,
    print_json,
    settings,
)
from ..sheet import Sheet
from .archive import export, import_
from .names import checked_name
from .times import read_time

app = typer.Typer(no_args_is_help=True, help="See what is kept of you, and have it forgotten.")
app.command()(export)
app.command("import")(import_)

Since = Annotated[
    str | None,
    typer.Option("--since", help="From then on: 2h, 3d, today, 2026-11-30, or 2026-11-30T17:00."),
]
Until = Annotated[str | None, typer.Option("--until", help="Until then, in the same forms.")]


@app.command("list")
def list_kept(
    since: Since = None,
    until: Until = None,
    word: Annotated[str, typer.Option("--word", help="Those in which this was said.")] = "",
    most: Annotated[int, typer.Option("--most", help="At most so many.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the recordings that are kept, the latest first."""
    span = {"since": read_time(since), "until": read_time(until)}
    found = ask_daemon_for(KeptListed, ListKept(**span, word=word, most=most))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.utterance[:8],
            datetime.fromtimestamp(one.created_at).strftime("%Y-%m-%d %H:%M"),
            f"{one.seconds:.1f} s",
            one.origin or one.source,
            one.user,
            one.text,
        )
        for one in found.utterances
    ]
    if not rows:
        console.print("nothing of that is kept")
        return
    headings = ("utterance", "when", "length", "by", "voice", "text")
    console.print(Sheet(headings, rows, sentences=("text",)))
    if found.more:
        console.print(f"and {found.more} more; --most shows more of them", highlight=False)


@app.command()
def play(
    utterance: Annotated[str, typer.Argument(help="A recording, as `attune data list` names it.")],
) -> None:
    """Play a recording by Attune's loudspeaker."""
    played = ask_daemon_for(KeptPlayed, PlayKept(utterance=checked_name(utterance)))
    console.print(f"playing {played.seconds:.1f} s", highlight=False)


@app.command()
def label(
    utterance: Annotated[str, typer.Argument(help="A recording, as `attune data list` names it.")],
    text: Annotated[
        str | None, typer.Argument(help="What it says, in quotes. Default: as it is labelled.")
    ] = None,
) -> None:
    """Confirm what a recording says, or correct it. Attune learns from that."""
    done = ask_daemon_for(KeptLabelled, LabelKept(utterance=checked_name(utterance), text=text))
    console.print(f"{done.utterance[:8]}: “{escape(done.text)}”", highlight=False, soft_wrap=True)


@app.command()
def review(
    most: Annotated[int, typer.Option("--most", help="At most so many.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Go through what Attune wrote down by itself, the least certain first.

    For each recording: a accepts the text, f fixes it, d forgets the recording, p plays it, s
    skips it, q ends the review. Without a terminal, or with --json, they are only listed.
    """
    found = ask_daemon_for(KeptListed, ListKept(to_review=True, most=most))
    if as_json:
        print_json(found)
        return
    if not found.utterances:
        console.print("nothing is to be reviewed: Attune wrote down nothing by itself")
    for one in found.utterances:
        sure = "" if one.confidence is None else f", {one.confidence:.0%} sure"
        console.print(
            f"{one.utterance[:8]}, {one.seconds:.1f} s{sure}: “{escape(one.text)}”",
            highlight=False,
            soft_wrap=True,
        )
        if sys.stdin.isatty() and not _reviewed(one):
            return


def _reviewed(one: KeptUtterance) -> bool:
    """Ask what is to become of one recording, and do it. Returns False if the review ends."""
    while True:
        match typer.prompt("a, f, d, p, s or q", default="s").strip().lower()[:1]:
            case "a":
                ask_daemon_for(KeptLabelled, LabelKept(utterance=one.utterance))
            case "f":
                text = typer.prompt("what was said").strip()
                ask_daemon_for(KeptLabelled, LabelKept(utterance=one.utterance, text=text))
            case "d":
                list(ask_daemon(Forget(utterances=(one.utterance,))))
            case "p":
                ask_daemon_for(KeptPlayed, PlayKept(utterance=one.utterance))
                continue
            case "q":
                return False
            case "s":
                pass
            case _:
                continue
        return True


@app.command()
def forget(
    utterances: Annotated[
        list[str] | None,
        typer.Argument(help="Recordings, as `attune data list` names them."),
    ] = None,
    turn: Annotated[
        int | None, typer.Option("--turn", help="A turn, as `attune status` numbers it.", min=1)
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The last turn.")] = False,
    since: Since = None,
    until: Until = None,
    word: Annotated[
        str, typer.Option("--word", help="Everything in which this word or phrase is.")
    ] = "",
    user: Annotated[
        str | None, typer.Option("--user", help="All that one user said, and the user.")
    ] = None,
    strangers: Annotated[
        bool, typer.Option("--strangers", help="All recordings of voices that are no user's.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that was ever said, and learnt.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget what was said, with everything that was made of it.

    Recordings, texts, and what was calculated from them are removed. What had learnt from them is
    withdrawn, an earlier state serves, and Attune learns again without them. A signed receipt says
    what went. It cannot be undone.
    """
    given = [utterances, turn, last, since or until, word, user, strangers, everything]
    if sum(map(bool, given)) != 1:
        raise AttuneError(
            "name recordings, or give one of --turn, --last, --since and --until, --word, --user,"
            " --strangers and --all"
        )
    wanted = Forget(
        utterances=tuple(map(checked_name, utterances or ())),
        turn=0 if last else turn,
        since=read_time(since),
        until=read_time(until),
        word=word,
        user=user,
        strangers=strangers,
        everything=everything,
        only_plan=True,
    )
    planned = ask_daemon_for(ToBeForgotten, wanted)
    if plan and as_json:
        print_json(planned)
        return
    if not as_json:
        console.print(escape(_told(planned)), highlight=False, soft_wrap=True)
    if plan:
        return
    if not (planned.utterances or planned.turns or planned.others or user):
        raise AttuneError("nothing of that is kept, so there is nothing to forget")
    if not yes:
        if not sys.stdin.isatty():
            raise AttuneError("it cannot be undone, so it is done only with --yes")
        typer.confirm("Forget it? It cannot be undone.", abort=True)
    asked = wanted.model_copy(update={"only_plan": False, "turn": planned.turn})
    *_, done = ask_daemon(asked)
    assert isinstance(done, Forgotten)
    if as_json:
        print_json(done)
        return
    console.print(
        f"forgotten; receipt {done.number:04d} is in {settings().state_dir / 'receipts'}",
        highlight=False,
        soft_wrap=True,
    )
    if done.withdrawn and done.serves is not None:
        console.print(f"generation {done.serves:04d} serves now", highlight=False)


@app.command()
def check(
    receipt: Annotated[Path, typer.Argument(help="The file of a receipt.")],
    as_json: AsJson = False,
) -> None:
    """Check the signature of a receipt, and show what it says."""
    found = read_receipt(expanded(receipt))
    if as_json:
        print_json(found)
        return
    gone = ", ".join(f"{number:04d}" for number in found.withdrawn) or "none"
    console.print(
        f"receipt {found.number:04d}, signed by {found.public_key[:16]}…: asked for"
        f" {found.asked_at}, done {found.done_at}; {found.what}:"
        f" {counted(found.utterances, 'recording')} ({found.seconds / 60:.1f} minutes),"
        f" {counted(found.turns, 'turn')}, {found.others} names and notes; generations withdrawn:"
        f" {gone}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def key(
    new: Annotated[
        bool, typer.Option("--new", help="Encrypt everything with a new data key.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write a copy of the key to this new file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where the key is that opens what is stored, save a copy of it, or rotate the data keys.

    Without the key nothing that is stored can be read again: keep a copy of it elsewhere.
    """
    chosen = settings()
    if new:
        rotated = ask_daemon_for(KeysRotated, RotateKeys(), quiet_seconds=None)
        console.print(f"{counted(rotated.files, 'file')} encrypted with a new key", highlight=False)
        return
    if not has_keys(chosen.state_dir):
        raise AttuneError(
            f"nothing is encrypted in {chosen.state_dir} yet; that is done when Attune starts"
        )
    keys = read_keys(chosen.state_dir, installation_keys(chosen))
    if save is not None:
        path = expanded(save)
        if path.exists():
            raise AttuneError(f"{path} exists; give the name of a new file")
        try:
            write_atomically(path, keys.opened_with.secret + b"\n")
        except OSError as error:
            raise AttuneError(f"{path} cannot be written: {error.strerror}") from error
        console.print(f"saved to {escape(str(path))}; who has it can read all", highlight=False)
        return
    where = {"fingerprint": keys.opened_with.fingerprint, "where": keys.opened_with.where}
    if as_json:
        print_json(where)
        return
    console.print(
        f"key {where['fingerprint']}, in {where['where']}", highlight=False, soft_wrap=True
    )


def _told(planned: ToBeForgotten) -> str:
    parts = [
        f"{counted(planned.utterances, 'recording')} ({planned.seconds / 60:.1f} minutes)",
        counted(planned.turns, "turn"),
    ]
    if planned.others:
        parts.append(f"{planned.others} names, timers and things on lists")
    told = f"to be forgotten: {', '.join(parts)}"
    if planned.generations:
        numbers = ", ".join(f"{number:04d}" for number in planned.generations)
        told += f"; withdrawn, because they learnt from it: {numbers}"
    return told
