"""Reports the demo's figures: scores them in a child of `calibration`, prints a table for each
speaker, and writes JSON and a picture. Knows no daemon."""

import io
import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engines.errors import AttuneError
from engines.files import write_atomically
from engines.generations.card import training_time
from engines.jobs.programs import SCORE, program

from ..sheet import Sheet

_PICTURE_COLUMNS = 130


@dataclass(frozen=True)
class Row:
    """One request: its true text, what was heard, and what was replied."""

    label: str
    heard: str
    reply: str
    reference: str
    """The reply when the label is typed."""


@dataclass(frozen=True)
class Scores:
    """The scores of one pass over the judged requests."""

    word_error_rate: float
    rouge_l: float
    first_token_ms: float
    """Median from the end of speech to the first token of the reply."""
    doubted: float
    """Share of the turns, 0 to 1, that the route was not sure of."""

    @staticmethod
    def of(rows: Sequence[Row], first_token_ms: Sequence[float], doubted: float) -> "Scores":
        """Score `rows` in a child process, because only `calibration` can score. Raises AttuneError
        if that fails."""
        given = json.dumps([asdict(row) for row in rows])
        command = program(SCORE)
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            raise AttuneError(
                f"the demo's replies could not be scored: {done.stderr.strip().splitlines()[-1]}"
            )
        scores = json.loads(done.stdout)
        median = statistics.median(first_token_ms) if first_token_ms else float("nan")
        return Scores(scores["word_error_rate"], scores["rouge_l"], median, doubted)


@dataclass(frozen=True)
class Exchange:
    """One request as Whisper heard it and as Attune did after the round, and what that replied."""

    said: str
    whisper: str
    attune: str
    reply: str


@dataclass(frozen=True)
class Outcome:
    """What the demo measured of one speaker."""

    whisper: Scores
    """With Whisper as it came."""
    before: Scores
    """With the base, before the speaker was heard."""
    after: Scores
    enrolled_seconds: float
    training_seconds: float
    """Training time in processor seconds per thread, of recogniser and projector together."""
    wall_seconds: float
    """Training time by the clock, in seconds."""
    peak_bytes: int
    promoted: bool
    reason: str
    exchanges: Sequence[Exchange] = ()
    """The first few requests."""


def report(name: str, outcome: Outcome, console: Console) -> None:
    """Print the table of one speaker."""
    rows = [
        (
            label,
            f"{scores.word_error_rate:.1%}",
            f"{scores.rouge_l:.3f}",
            f"{scores.first_token_ms:.0f}",
            f"{scores.doubted:.0%}",
        )
        for label, scores in (
            ("Whisper as it came", outcome.whisper),
            ("Attune before", outcome.before),
            ("Attune after", outcome.after),
        )
    ]
    console.print(
        f"\nThe {name} speaker, requests never heard before", style="italic", highlight=False
    )
    console.print(
        Sheet(("", "word error rate", "ROUGE-L of replies", "ms to first token", "doubted"), rows)
    )
    console.print(
        f"enrolled {outcome.enrolled_seconds / 60:.1f} min, peak memory"
        f" {outcome.peak_bytes / 2**20:.0f} MiB\ntrained"
        f" {training_time(outcome.training_seconds, outcome.wall_seconds)}\n{outcome.reason}",
        highlight=False,
        soft_wrap=True,
    )
    if outcome.before.word_error_rate == outcome.after.word_error_rate == 0:
        console.print("Before it learnt, it understood every word of these, too.", highlight=False)
    elif outcome.after.word_error_rate >= outcome.before.word_error_rate:
        console.print("It did not get better.", highlight=False)


def figures(outcome: Outcome) -> dict[str, float | bool | str]:
    """Return the figures of one speaker with flat keys, for scripts."""
    return {
        "whisper_wer": outcome.whisper.word_error_rate,
        "before_wer": outcome.before.word_error_rate,
        "after_wer": outcome.after.word_error_rate,
        "whisper_rouge_l": outcome.whisper.rouge_l,
        "before_rouge_l": outcome.before.rouge_l,
        "after_rouge_l": outcome.after.rouge_l,
        "whisper_first_token_ms": outcome.whisper.first_token_ms,
        "before_first_token_ms": outcome.before.first_token_ms,
        "after_first_token_ms": outcome.after.first_token_ms,
        "after_doubted": outcome.after.doubted,
        "enrolled_seconds": outcome.enrolled_seconds,
        "training_seconds": outcome.training_seconds,
        "wall_seconds": outcome.wall_seconds,
        "peak_bytes": outcome.peak_bytes,
        "promoted": outcome.promoted,
        "reason": outcome.reason,
    }


def write_picture(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Write an SVG of the demo's end: the first requests of the last speaker, and the speaker's
    table."""
    name, outcome = list(outcomes.items())[-1]
    console = Console(record=True, width=_PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True)
    title = (
        f"The {name} speaker asks, after {outcome.enrolled_seconds / 60:.0f} minutes of enrolment"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("said", "Whisper hears", "Attune hears", "and replies"):
        table.add_column(heading)
    for exchange in outcome.exchanges:
        table.add_row(
            exchange.said,
            f"[red]{escape(exchange.whisper)}[/red]",
            escape(exchange.attune),
            escape(exchange.reply),
        )
    console.print(table)
    report(name, outcome, console)
    console.save_svg(str(path), title="attune demo")


def write_figures(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Write `demo.json`: the figures of each speaker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {name: figures(outcome) for name, outcome in outcomes.items()}
    write_atomically(path, json.dumps(found, indent=2).encode() + b"\n")
