"""Runs the demo for one speaker, through the socket of a private daemon. Knows no models.

Requests that were never heard are played into the capture path of two daemons: one that hears with
Whisper as it came, and one as it is installed. Then the speaker enrols, and the idle daemon trains,
judges, and promotes or refuses the result by itself. At last the same requests are played again.
Nothing is staged: every figure comes from what a daemon answered, on the route that it chose.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, TaskID

from engines.errors import AttuneError
from engines.generations.folder import (
    BASE,
    RECOGNISER,
    Generation,
    list_generations,
    read_generation,
    write_generation,
)
from engines.jobs.programs import DEMO_SPEAKERS, program
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL

from ...client import socket_client
from ...client.enrolling import enroll
from ...client.temporary_daemon import private_daemon
from ...config.installation_key import protect_state
from ...control.requests import Ask, Follow, GetStatus, Listen, Request
from ...events.enrolment import BadRow, EnrolledAll
from ...events.event import Event
from ...events.learning import AdaptationChanged
from ...events.service import Following, Status
from ...events.turns import SegmentHeard, TurnAnswered, TurnFailed
from ..common import settings
from .report import Exchange, Outcome, Row, Scores

_IDLE_SECONDS = 900.0
"""Seconds after which the demo gives up a round that has not begun. A round that has begun is
awaited to its end, however busy the machine is."""
_OVERLAP_SECONDS = 0.1
_SETTINGS = {
    # the demo sends its streams with `listen`; a microphone would add sound from the room
    "AUDIO__SOURCE": "none",
    "AUDIO__KEEP": "false",  # judged requests must never be trained on
    "CONVERSATION__FORGET_AFTER_SECONDS": "0",
    # doubts are counted, not acted on
    "CONVERSATION__WHEN_UNSURE": "answer",
    "CONVERSATION__MAX_REPLY_TOKENS": "12",
    "IDLE__QUIET_SECONDS": "2",
    "ADAPT__REPLY_UTTERANCES": "8",
    "IDLE__MIN_MINUTES_BETWEEN_ROUNDS": "0",
}
_STATE, _AS_IT_CAME = "state", "as-it-came"
"""The names of the two state folders."""
_SHOWN = 6
"""Number of requests in the picture."""


@dataclass(frozen=True)
class Extent:
    """How many speakers and requests the demo shows."""

    speakers: tuple[str, ...]
    judged: int
    """Number of the atypical speaker's requests that are judged."""
    training_seconds: float
    """Longest training of the projector in the round, in seconds of processor time per thread."""
    recogniser_seconds: float
    """Longest training of the recogniser, likewise."""


SHORT = Extent(("atypical",), judged=16, training_seconds=30.0, recogniser_seconds=90.0)
FULL = Extent(("clear", "atypical"), judged=100, training_seconds=180.0, recogniser_seconds=180.0)


@dataclass
class Show:
    """The progress display, and the lines above it."""

    progress: Progress
    task: TaskID = field(init=False)

    def begin(self, what: str, total: float | None) -> None:
        if self.progress.tasks:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task(what, total=total, note="")

    def step(self, completed: float | None = None, note: str = "") -> None:
        if completed is None:
            self.progress.update(self.task, advance=1, note=escape(note[:60]))
        else:
            self.progress.update(self.task, completed=completed, note=escape(note[:60]))

    def say(self, text: str) -> None:
        self.progress.console.print(text, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Speaker:
    """One of the demo's users and the daemon that serves them."""

    name: str
    folder: Path
    socket: Path
    show: Show

    def ask(self, command: Request, recording: Path | None = None) -> Iterator[Event]:
        return socket_client.ask(self.socket, command, _IDLE_SECONDS, recording=recording)

    def status(self) -> Status:
        return socket_client.ask_for(Status, self.socket, GetStatus(), _IDLE_SECONDS)

    def judged(self, half: int) -> list[dict[str, float | str]]:
        """Return the requests in one of the two streams (0 or 1), each with its text and its start
        and end in seconds."""
        return [
            json.loads(line)
            for line in (self.folder / f"judge-{half}.jsonl").read_text().splitlines()
        ]


def run_speaker(name: str, folder: Path, extent: Extent, show: Show) -> Outcome:
    """Run the whole loop with one speaker in `folder`, which is emptied first. Raises AttuneError
    if a part of it fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    show.say(f"\n[bold]The {name} speaker[/bold]")
    _make_speaker(name, folder, extent.judged, show)
    # A path short enough for a UNIX socket.
    with tempfile.TemporaryDirectory(prefix="attune-") as sockets:
        speaker = Speaker(name, folder, Path(sockets) / "attune.sock", show)
        _make_bases(folder)
        with _daemon(speaker, _AS_IT_CAME, extent):
            whisper = [_play(speaker, "Whisper as it came", half) for half in (0, 1)]
        with _daemon(speaker, _STATE, extent):
            before = [_play(speaker, "before", half) for half in (0, 1)]
            enrolled_seconds = _enrol(speaker)
            verdict, reason = _follow_round(speaker)
            after = [_play(speaker, "after", half) for half in (0, 1)]
            references = _references(speaker)
    protect_state(settings().model_copy(update={"state_dir": folder / _STATE}))
    candidate = _candidate(folder / _STATE / "generations")
    theirs, ours = _rows(speaker, whisper, references), _rows(speaker, after, references)
    return Outcome(
        whisper=_scores(whisper, theirs),
        before=_scores(before, _rows(speaker, before, references)),
        after=_scores(after, ours),
        enrolled_seconds=enrolled_seconds,
        training_seconds=(candidate.card.processor_seconds or 0.0) if candidate else 0.0,
        wall_seconds=candidate.card.wall_seconds if candidate else 0.0,
        peak_bytes=candidate.card.peak_bytes if candidate else 0,
        promoted=verdict == "promoted",
        reason=reason,
        exchanges=[
            Exchange(row.label, row.heard, own.heard, own.reply)
            for row, own in zip(theirs[:_SHOWN], ours[:_SHOWN], strict=True)
        ],
    )


def _make_speaker(name: str, folder: Path, judged: int, show: Show) -> None:
    command = program(DEMO_SPEAKERS, name, str(folder))
    if name == "clear":
        command += ["--recordings", str(model_path(GENERAL_MODEL, settings().cache_dir))]
    else:
        command += ["--judged", str(judged)]
    show.begin("recording", None)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            show.step(note=line.strip())
        problem = child.stderr.read().strip()
    if child.returncode != 0:
        raise AttuneError(
            f"the {name} speaker could not be made:"
            f" {problem.splitlines()[-1] if problem else 'no reason given'}"
        )


def _make_bases(folder: Path) -> None:
    """Make two fresh states with the base generation, one of them without its recogniser."""
    installed = settings().generations / f"{BASE:04d}"
    shutil.copytree(installed, folder / _STATE / "generations" / f"{BASE:04d}")
    base = read_generation(installed)
    files = {name: base.folder / name for name in base.card.files if name != RECOGNISER}
    write_generation(folder / _AS_IT_CAME / "generations", BASE, base.card, files)


@contextmanager
def _daemon(speaker: Speaker, state: str, extent: Extent) -> Iterator[None]:
    """Serve the speaker from the state folder of that name."""
    chosen = settings()
    environment = {
        "STATE_DIR": str(speaker.folder / state),
        "CACHE_DIR": str(chosen.cache_dir.absolute()),
        "CONTROL__SOCKET": str(speaker.socket),
        "ADAPT__TRAINING_SECONDS": str(extent.training_seconds),
        "ADAPT__RECOGNISER_SECONDS": str(extent.recogniser_seconds),
        **_SETTINGS,
    }
    speaker.show.begin("starting the daemon", None)
    with private_daemon(environment, speaker.folder / f"{state}.log") as status:
        speaker.show.say(
            f"daemon, process {status.process}: {status.route} route ({status.route_reason})"
        )
        yield


@dataclass(frozen=True)
class PlayedTurn:
    """A turn that was answered, and where in the stream it was said."""

    start_seconds: float
    seconds: float
    answered: TurnAnswered


def _play(speaker: Speaker, what: str, half: int) -> list[PlayedTurn]:
    """Play one stream through the daemon's capture path. Returns the turns that were answered."""
    speaker.show.begin(f"{speaker.name}, {what}", len(speaker.judged(half)))
    turns: list[PlayedTurn] = []
    segment = SegmentHeard(start_seconds=0.0, seconds=0.0)
    stream = speaker.folder / f"judge-{half}.wav"
    for event in speaker.ask(Listen(audio=stream.name), stream):
        match event:
            case SegmentHeard():
                segment = event
            case TurnFailed(problem=problem):
                speaker.show.say(f"[red]{escape(problem)}[/red]")
            case TurnAnswered():
                turns.append(PlayedTurn(segment.start_seconds, segment.seconds, event))
                speaker.show.step()
                speaker.show.say(_told(event))
            case _:
                pass
    return turns


def _told(turn: TurnAnswered) -> str:
    first = turn.first_token_ms
    took = "no reply" if first is None else f"{first:.0f} ms"
    doubt = "" if turn.sure else " [yellow](doubted)[/yellow]"
    reply = escape(" ".join(turn.reply.split()))
    return f"  {turn.route:8}{took:>9}  [cyan]{escape(turn.heard)}[/cyan]{doubt}  →  {reply}"


def _enrol(speaker: Speaker) -> float:
    manifest = speaker.folder / "enrol.jsonl"
    speaker.show.begin("enrolling", sum(1 for _ in manifest.open()))
    seconds = 0.0
    for event in enroll(speaker.socket, manifest, quiet_seconds=_IDLE_SECONDS):
        if isinstance(event, BadRow):
            speaker.show.say(f"[red]{escape(event.problem)}[/red]")
        elif isinstance(event, EnrolledAll):
            seconds = event.seconds
            speaker.show.say(
                f"enrolled {event.enrolled} utterances, {seconds / 60:.1f} minutes; now nobody"
                " speaks"
            )
        speaker.show.step()
    return seconds


def _follow_round(speaker: Speaker) -> tuple[str, str]:
    """Wait until the idle daemon has trained and judged. Returns the outcome and its reason."""
    stage = "idle"
    speaker.show.begin(stage, 1.0)
    deadline, why = time.monotonic() + _IDLE_SECONDS, ""
    # The round may have begun, or even ended, before this client follows; the status says so too.
    for event in speaker.ask(Follow()):
        if time.monotonic() > deadline:
            break
        if isinstance(event, Following):
            learning = speaker.status().adaptation
            deadline = deadline if learning.state == "waiting" else inf
            if learning.last_outcome is not None:
                return learning.last_outcome, learning.last_reason
        if not isinstance(event, AdaptationChanged):
            continue
        if event.state == "waiting":
            why = event.note
        else:
            deadline = inf  # it has begun
        if event.outcome is not None:
            speaker.show.say(f"[bold]{escape(event.last_reason)}[/bold]")
            return event.outcome, event.last_reason
        if (doing := f"idle, {event.stage or event.state}") != stage:
            speaker.show.begin(doing, 1.0)
            stage = doing
        speaker.show.step(event.fraction, event.note)
    return "failed", f"no round began within {_IDLE_SECONDS / 60:.0f} minutes: {why}"


def _references(speaker: Speaker) -> dict[str, str]:
    """Ask each judged request as a typed text. Returns the replies by text."""
    texts = [str(row["text"]) for half in (0, 1) for row in speaker.judged(half)]
    speaker.show.begin("typing the true texts", len(texts))
    replies = {}
    for text in texts:
        for event in speaker.ask(Ask(text=text)):
            if isinstance(event, TurnAnswered):
                replies[text] = event.reply
        speaker.show.step()
    return replies


def _rows(
    speaker: Speaker, halves: Sequence[list[PlayedTurn]], references: dict[str, str]
) -> list[Row]:
    return [
        row
        for half, turns in enumerate(halves)
        for row in assign(speaker.judged(half), turns, references)
    ]


def _scores(halves: Sequence[list[PlayedTurn]], rows: Sequence[Row]) -> Scores:
    times = [
        turn.answered.first_token_ms
        for turns in halves
        for turn in turns
        if turn.answered.first_token_ms is not None
    ]
    doubts = [not turn.answered.sure for turns in halves for turn in turns]
    return Scores.of(rows, times, sum(doubts) / max(len(doubts), 1))


def assign(
    places: Sequence[Mapping[str, float | str]],
    turns: Sequence[PlayedTurn],
    references: Mapping[str, str],
) -> list[Row]:
    """Join the turns that the daemon cut within the place of each judged request in the stream.
    Returns one row for each place."""
    return [_row(place, turns, references) for place in places]


def _row(
    place: Mapping[str, float | str], turns: Sequence[PlayedTurn], references: Mapping[str, str]
) -> Row:
    start, end = float(place["start_seconds"]), float(place["end_seconds"])
    inside = [turn for turn in turns if _overlap(turn, start, end) > _OVERLAP_SECONDS]
    text = str(place["text"])
    return Row(
        label=text,
        heard=" ".join(turn.answered.heard for turn in inside),
        reply=inside[-1].answered.reply if inside else "",
        reference=references.get(text, ""),
    )


def _overlap(turn: PlayedTurn, start_seconds: float, end_seconds: float) -> float:
    end = min(end_seconds, turn.start_seconds + turn.seconds)
    return end - max(start_seconds, turn.start_seconds)


def _candidate(generations: Path) -> Generation | None:
    """Return the generation that the round wrote, promoted or not; None if it wrote none."""
    found = [
        entry
        for entry in list_generations(generations)
        if isinstance(entry, Generation) and entry.number != BASE
    ]
    return found[-1] if found else None
