"""What benchmarks found, as tables for the terminal. Knows figures, no jobs."""

from rich.table import Column, Table

from engines.bench_figures import HeardSet, QualityFigures


def reached_table(figures: QualityFigures) -> Table:
    """How soon each design is as good as each other one is in the end."""
    table = Table("seconds to reach the end of:", *(run.design for run in figures.designs))
    for run in figures.designs:
        cells = []
        for other in figures.designs:
            seconds = run.seconds_to(other.curve[-1].word_error_rate)
            ratio = f" ({other.curve[-1].seconds / seconds:.1f}x sooner)" if seconds else ""
            cells.append("-" if run is other else "never" if seconds is None else f"{seconds:.0f}{ratio}")
        table.add_row(run.design, *cells)
    return table


def heard_table(heard: list[HeardSet]) -> Table:
    """A row for each set and hearer; columns that nobody measured are left out."""

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
        ("wrong acted on", [percent(one.trust.wrong_acted if one.trust else None) for one in heard]),
    ]
    shown = [(name, cells) for name, cells in measured if any(cells)]
    table = Table(Column("set", no_wrap=True), Column("heard by", no_wrap=True), *(name for name, _ in shown))
    last = ""
    for index, one in enumerate(heard):
        table.add_row(one.set if one.set != last else "", one.hearer, *(cells[index] for _, cells in shown))
        last = one.set
    return table
