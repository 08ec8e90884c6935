"""Makes tables for the terminal from the figures of benchmarks. Knows figures, no jobs."""

from engines.jobs.bench_figures import (
    AdaptFigures,
    DistilFigures,
    MemoryFigures,
    QualityFigures,
    SetScores,
)

from ..common import gib
from ..sheet import Sheet


def rounds_sheet(figures: AdaptFigures) -> Sheet:
    """Make a table of the data, time and memory that each round took."""
    rows = [
        (
            one.name,
            f"{one.minutes:.1f} min",
            str(one.utterances),
            str(one.steps),
            f"{one.processor_seconds:.0f}",
            f"{one.round_processor_seconds:.0f}",
            gib(one.peak_bytes),
        )
        for one in figures.rounds
    ]
    return Sheet(
        ("round", "speech", "utterances", "steps", "training, s/core", "all, s/core", "peak"), rows
    )


def own_labels_sheet(figures: AdaptFigures) -> Sheet:
    """Make a table of the labels that the rounds' recognisers wrote by themselves."""
    rows = [
        (
            one.name,
            f"{found.labelled} of {found.recordings}",
            str(found.right),
            "yes" if found.allowed else "no: not proven on what was confirmed",
        )
        for one in figures.rounds
        if (found := one.own_labels) is not None
    ]
    return Sheet(("round", "labelled", "right", "learnt from"), rows)


def costs_sheet(figures: AdaptFigures) -> Sheet:
    """Make a table of the time and memory that each takes to hear."""
    rows = [
        (one.hearer, f"{one.seconds:.2f} s", f"{one.size_bytes / 2**20:.0f} MiB")
        for one in figures.costs
    ]
    return Sheet(("heard by", "an utterance", "memory, language model included"), rows)


def designs_sheet(figures: QualityFigures) -> Sheet:
    """Make a table of the time and memory that each design takes, and of its final word error."""
    rows = [
        (
            run.design,
            f"{run.parameters / 1e6:.1f} M",
            f"{run.features_seconds:.0f} s",
            f"{run.step_seconds:.2f} s",
            gib(run.peak_bytes),
            f"{100 * run.curve[-1].word_error_rate:.1f} % after {run.curve[-1].seconds:.0f} s",
        )
        for run in figures.designs
    ]
    return Sheet(("design", "parameters", "features", "a step", "peak", "error at its end"), rows)


def recipes_sheet(figures: DistilFigures) -> Sheet:
    """Make a table of the steps, times and final losses of each distillation recipe."""
    rows = []
    for run in figures.runs:
        losses = ", ".join(f"{name} {value:.2f}" for name, value in run.losses.items())
        rows.append(
            (
                run.recipe,
                str(run.steps),
                f"{run.processor_seconds:.0f}",
                f"{run.wall_seconds:.0f} s",
                losses,
            )
        )
    return Sheet(
        ("recipe", "steps", "processor seconds", "by the clock", "losses at its end"),
        rows,
        {"losses at its end"},
    )


def memory_sheet(figures: MemoryFigures) -> Sheet:
    """Make a table of the memory and time that a step of distillation takes."""
    rows = [
        (
            run.shape,
            gib(run.file_bytes),
            str(run.positions),
            gib(run.peak_resident_bytes),
            gib(run.over_file_bytes),
            gib(run.before_bytes),
            "" if run.peak_allocated_bytes is None else gib(run.peak_allocated_bytes),
            f"{run.seconds_per_step:.1f} s",
        )
        for run in figures.runs
    ]
    return Sheet(
        ("model", "its file", "positions", "peak", "over file", "Python", "allocated", "a step"),
        rows,
    )


def reached_sheet(figures: QualityFigures) -> Sheet:
    """Make a table of how soon each design reaches the final word error of each other design."""
    rows = []
    for run in figures.designs:
        cells = []
        for other in figures.designs:
            seconds = run.seconds_to(other.curve[-1].word_error_rate)
            ratio = f" ({other.curve[-1].seconds / seconds:.1f}x sooner)" if seconds else ""
            cells.append(
                "-" if run is other else "never" if seconds is None else f"{seconds:.0f}{ratio}"
            )
        rows.append((run.design, *cells))
    return Sheet(("seconds to reach the end of:", *(run.design for run in figures.designs)), rows)


def heard_sheet(heard: list[SetScores]) -> Sheet:
    """Make a table with a row for each set and hearer; a column without any value is left out."""

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    def score(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    measured: list[tuple[str, list[str]]] = [
        ("word error", [percent(one.word_error_rate) for one in heard]),
        ("content words", [percent(one.content_word_error_rate) for one in heard]),
        ("ROUGE-1", [score(one.rouge_1) for one in heard]),
        ("ROUGE-L", [score(one.rouge_l) for one in heard]),
        ("first token", [percent(one.same_first_token) for one in heard]),
        ("passing", [percent(one.trust.passing if one.trust else None) for one in heard]),
        (
            "wrong acted on",
            [percent(one.trust.wrong_acted if one.trust else None) for one in heard],
        ),
    ]
    shown = [(name, cells) for name, cells in measured if any(cells)]
    rows = [
        (one.set, one.hearer, *(cells[index] for _, cells in shown))
        for index, one in enumerate(heard)
    ]
    return Sheet(("set", "heard by", *(name for name, _ in shown)), rows)
