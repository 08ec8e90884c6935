"""What the benchmarks found, as pictures. Knows matplotlib and figures, no models."""

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "attune"  # the same figures make the same file

from matplotlib import pyplot as plt  # noqa: E402 (the backend is chosen first)

from engines.bench_figures import AdaptFigures, QualityFigures  # noqa: E402


def draw_adapt(figures: AdaptFigures, path: Path) -> None:
    """Error on each set against enrolled minutes, with the cascade's as a dashed line."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    minutes = [0.0, *(one.minutes for one in figures.rounds)]
    names = list(dict.fromkeys(heard.set for heard in figures.heard))
    for index, name in enumerate(names):
        of_set = [heard for heard in figures.heard if heard.set == name]
        ours = [100 * heard.word_error_rate for heard in of_set if heard.hearer != "cascade"]
        cascade = next(100 * heard.word_error_rate for heard in of_set if heard.hearer == "cascade")
        axes.plot(minutes, ours, "o-", color=f"C{index}", label=name)
        axes.axhline(cascade, color=f"C{index}", linestyle="--", linewidth=1)
    axes.set(xlabel="minutes enrolled", ylabel="word error, %", title="A personal round (dashed: cascade)", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw_quality(figures: QualityFigures, path: Path) -> None:
    """Loss and word error of each design against seconds of its run."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    for run in figures.designs:
        trained = [point for point in run.curve if point.step]
        above.plot([point.seconds for point in trained], [point.loss for point in trained], "o-", label=run.design)
        below.plot([p.seconds for p in run.curve], [100 * p.word_error_rate for p in run.curve], "o-", label=run.design)
    above.set(ylabel="its own loss", yscale="log", title="From the first frame that is encoded")
    below.set(xlabel="seconds", ylabel="word error, %", xscale="log", ylim=(0, None))
    for axes in (above, below):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
