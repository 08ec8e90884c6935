"""What a base's card says of the corpora that it was trained on. Knows no training."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from engines.jobs.calibration_jobs import CorpusJob

from .shards import Row
from .synthesis import is_atypical


def count_voices(rows: Iterable[Row]) -> dict[str, int]:
    """The number of utterances of each kind of voice, by its name."""
    counts = Counter(
        row.voice.split(" ")[0] + (" atypical" if is_atypical(row.voice) else "") for row in rows
    )
    return dict(sorted(counts.items()))


def hours_of(rows: Iterable[Row]) -> float:
    """The length of the utterances in hours, in two digits after the point."""
    return round(sum(row.seconds for row in rows) / 3600, 2)


def commands_of(corpora: Sequence[Path]) -> list[str]:
    """The command that makes each of `corpora` again."""
    return [_command(folder) for folder in corpora]


def _command(folder: Path) -> str:
    try:
        made = CorpusJob.model_validate_json((folder / "job.json").read_text())
    except (OSError, ValueError):
        return f"# {folder.name}: it does not say how it was made"
    sources = "".join(
        f" --from {source.name}" for source in made.sources
    ) or f" --hours {made.hours:g} --written {made.written}" + (
        "" if made.covers_vocabulary else " --no-coverage"
    )
    return f"attune align corpus --out {folder.name}{sources} --seed {made.seed}"
