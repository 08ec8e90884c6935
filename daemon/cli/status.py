"""`attune status`, `metrics` and `reload`: show what the daemon does, and let it reload its
settings."""

from collections.abc import Mapping
from datetime import date

import typer
from rich.markup import escape

from engines.errors import AttuneError
from engines.wake.words import NONE

from ..control.requests import GetMetrics, GetStatus, Reload
from ..events.learning import AdaptationStatus
from ..events.privacy import KeepingStatus
from ..events.service import LabelsLeftOut, MetricsText, ShadowStatus, Status
from ..events.speaking import SpeakingStatus
from ..events.wake import WakeStatus
from ..listening.status import ListenerStatus
from ..plain_text import plain
from .common import AsJson, ask_daemon, ask_daemon_for, console, gib, print_json

_PATIENCE_SECONDS = 10.0

Line = tuple[str, str]
"""A heading and the text beside it."""


def status(as_json: AsJson = False) -> None:
    """Show what the daemon hears, answers and learns."""
    found = ask_daemon_for(Status, GetStatus(), _PATIENCE_SECONDS)
    if as_json:
        print_json(found)
        return
    for name, text in _lines(found):
        console.print(f"[bold]{name:10}[/bold] {escape(text)}", highlight=False, soft_wrap=True)


def metrics() -> None:
    """Print metrics in Prometheus' text format, for a collector that reads text files."""
    found = ask_daemon_for(MetricsText, GetMetrics(), _PATIENCE_SECONDS)
    typer.echo(plain(found.text), nl=False)


def reload() -> None:
    """Reload the settings and any newly built engines.

    Requests wait until the reload is done. If the new settings are refused, the old ones stay,
    and the exit code is 1.
    """
    list(ask_daemon(Reload()))
    found = ask_daemon_for(Status, GetStatus())  # answered by the daemon that has taken over
    if found.settings_problem:
        raise AttuneError(found.settings_problem)
    typer.echo("the settings were reloaded")


def _lines(found: Status) -> list[Line]:
    counts, learning = found.counts, found.adaptation
    lines = [
        (
            "daemon",
            f"{found.version}, process {found.process}, up {_minutes(found.uptime_seconds)},"
            f" {found.state_dir}",
        ),
        ("hearing", _hearing(found.listening)),
        *([("user", found.user)] if found.user else []),
        *([("mode", found.mode)] if found.mode != "assistant" else []),
        *([("turns", found.end_of_turn)] if found.end_of_turn else []),
        *[("due" if not place else "", one) for place, one in enumerate(found.alarms)],
        ("kept", told_keeping(found.keeping)),
        *([("tools", found.tools)] if found.tools else []),
        *([("called by", _called_by(found.wake))] if found.wake.word != NONE else []),
        ("speaking", _speaking(found.speaking)),
        (
            "route",
            f"{found.route} ({found.route_reason})"
            + (", unloaded for a round" if found.unloaded else ""),
        ),
        *([("encoder", found.encoder)] if found.encoder else []),
        (
            "heard",
            f"{counts.utterances} utterances, {_minutes(counts.seconds)}; {counts.turns} turns",
        ),
        (
            "labels",
            f"{_pairs(counts.labels_by_origin)}, {counts.unlabelled} without,"
            f" {counts.new_labels} new",
        ),
        *_left_out(found.labels_left_out),
        *_learning(learning),
        *_shadow(found.shadow),
    ]
    if learning.last_outcome is not None:
        reason = learning.last_reason.removeprefix(f"{learning.last_outcome}: ")
        lines.append(("last round", f"{learning.last_outcome}: {reason}"))
    lines += [("problem", problem) for problem in found.problems]
    for turn in found.last_turns:
        first = "no reply" if turn.first_token_ms is None else f"{turn.first_token_ms:.0f} ms"
        lines.append((f"turn {turn.id}", f"{turn.route}, {first}: “{turn.heard}” → “{turn.reply}”"))
    return lines


def told_keeping(keeping: KeepingStatus) -> str:
    """Say whether what is said is kept, and why."""
    if keeping.agreed is None:
        return "nothing of what you say: you have not agreed (`attune consent on`)"
    day = "" if keeping.since is None else f" on {date.fromtimestamp(keeping.since).isoformat()}"
    by = f", by {keeping.by}"
    if not keeping.agreed:
        return f"nothing of what you say, as you wanted{day}{by}"
    agreed = f"you agreed{day}{by}; `attune consent off` ends it"
    if keeping.private_seconds:
        return f"nothing of what you say for {_minutes(keeping.private_seconds)} (private)"
    if not keeping.recordings:
        return "the texts of turns, and no recordings: audio.keep is false"
    return f"what you say, to learn from it: {agreed}"


def _hearing(listening: ListenerStatus) -> str:
    source = listening.source
    heard_by = f"{listening.state} {source.device if source else ''}".strip()
    problem = (source.problem if source else "") or listening.problem
    return f"{heard_by} ({problem})" if problem else heard_by


def _called_by(wake: WakeStatus) -> str:
    by = f"“{wake.phrase}”" if wake.phrase else wake.word
    return f"{by} ({wake.problem})" if wake.problem else f"{by}{', hears now' if wake.open else ''}"


def _speaking(speaking: SpeakingStatus) -> str:
    if speaking.voice == "none":
        return "off: speaking.voice is none"
    by = f"voice {speaking.voice}, loudspeaker {speaking.loudspeaker}"
    return f"{by} ({speaking.problem})" if speaking.problem else by


def _learning(learning: AdaptationStatus) -> list[Line]:
    doing = f"{learning.state} {learning.stage}".rstrip()
    lines = [("learning", f"{doing}: {learning.note}" if learning.note else doing)]
    if learning.pause_latency_ms is not None:
        latency = f"99 of 100 within {learning.pause_latency_ms:.2f} ms of speech"
        lines.append(("yielding", f"training stopped {learning.pauses} times, {latency}"))
    if learning.most_used_bytes:
        used, predicted, allowed = (
            gib(size_bytes or 0)
            for size_bytes in (
                learning.most_used_bytes,
                learning.predicted_bytes,
                learning.budget_bytes,
            )
        )
        lines.append(
            ("memory", f"at most {used} in a round, {predicted} predicted, {allowed} allowed")
        )
    return lines


def _shadow(shadow: ShadowStatus | None) -> list[Line]:
    if shadow is None:
        return []
    told = (
        f"generation {shadow.generation or 0:04d} heard {shadow.turns} of {shadow.of} turns,"
        f" {shadow.otherwise} of them differently"
    )
    return [("shadow", shadow.problem or told)]


def _left_out(labels: LabelsLeftOut) -> list[Line]:
    """Return the line about labels that no round learns from, or no line if there are none."""
    if not labels.count:
        return []
    reasons = "; ".join(f"{count}: {reason}" for reason, count in labels.reasons.items())
    return [("left out", f"{labels.count} labels, {reasons}; `attune status --json` names them")]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _pairs(values: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in values.items()) or "none"
