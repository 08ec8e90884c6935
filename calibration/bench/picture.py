"""The figures of benchmarks as pictures. Knows matplotlib and figures, no models."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from engines.jobs.bench_figures import AdaptFigures, QualityFigures


def draw_adapt(figures: AdaptFigures, path: Path) -> None:
    """Draw the error on each set against enrolled minutes, with the cascade's as a dashed line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    minutes = [0.0, *(one.minutes for one in figures.rounds)]
    names = list(dict.fromkeys(heard.set for heard in figures.heard))
    for index, name in enumerate(names):
        of_set = [heard for heard in figures.heard if heard.set == name]
        ours = [100 * heard.word_error_rate for heard in of_set if heard.hearer != "cascade"]
        points = sorted(zip(minutes, ours, strict=True))  # in whatever order the rounds ran
        cascade = next(100 * heard.word_error_rate for heard in of_set if heard.hearer == "cascade")
        axes.plot(*zip(*points, strict=True), "o-", color=f"C{index}", label=name)
        axes.axhline(cascade, color=f"C{index}", linestyle="--", linewidth=1)
    axes.set(
        xlabel="minutes enrolled",
        ylabel="word error, %",
        title="A personal round (dashed: cascade)",
        ylim=(0, None),
    )
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
