"""The figures of benchmarks as pictures. Knows matplotlib and figures, no models."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from engines.jobs.bench_figures import AdaptFigures, QualityFigures


def draw_adapt(figures: AdaptFigures, path: Path) -> None:
    """Draw the error of both routes on each set against enrolled minutes, with that of Whisper as
    it came as a dashed line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    enrolled = [one for one in figures.rounds if one.own_labels is None]
    minutes = {"base": 0.0} | {one.name: one.minutes for one in enrolled}
    names = list(dict.fromkeys(heard.set for heard in figures.heard))
    for index, name in enumerate(names):
        rates = {
            heard.hearer: 100 * heard.word_error_rate
            for heard in figures.heard
            if heard.set == name
        }
        label: str | None = name
        for ending, style in (("", "o-"), (", recogniser", "x:")):
            points = sorted(  # in whatever order the rounds ran
                (at, rates[one + ending]) for one, at in minutes.items() if one + ending in rates
            )
            if points:
                axes.plot(*zip(*points, strict=True), style, color=f"C{index}", label=label)
                label = None
        axes.axhline(rates["cascade"], color=f"C{index}", linestyle="--", linewidth=1)
    axes.set(
        xlabel="minutes enrolled",
        ylabel="word error, %",
        ylim=(0, None),
    )
    axes.set_title("Dotted: its recogniser alone. Dashed: Whisper as it came", fontsize="medium")
    figure.legend(loc="outside right upper")
    axes.grid(alpha=0.3)
    _save(figure, path)


def draw_quality(figures: QualityFigures, path: Path) -> None:
    """Draw the loss and word error of each design against the seconds of its run."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for run in figures.designs:
        trained = [point for point in run.curve if point.step]
        above.plot(
            [point.seconds for point in trained],
            [point.loss for point in trained],
            "o-",
            label=run.design,
        )
        below.plot(
            [p.seconds for p in run.curve],
            [100 * p.word_error_rate for p in run.curve],
            "o-",
            label=run.design,
        )
    above.set(ylabel="its own loss", yscale="log", title="From the first frame that is encoded")
    below.set(
        xlabel="seconds", ylabel="word error, % (cut off at 100)", xscale="log", ylim=(0, 100)
    )
    for axes in (above, below):
        axes.legend()
        axes.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Write the picture so that the same figures make the same file."""
    with rc_context({"svg.hashsalt": "attune"}):
        figure.savefig(path, metadata={"Date": None})
