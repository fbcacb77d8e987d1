"""The curves of a training: every metric over the steps, as written and smoothed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ssni_jax.journal.training import Trained, is_number
from ssni_jax.report.figures.style import CLEAN, INK, PAPER, STYLE, as_svg, new_panel, write_png

SPREAD = 5.0  # of largest to smallest value, from which an axis is logarithmic
NOT_DRAWN = ("step", "seconds")


def metric_names(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything measured, the loss and the norm of its gradient first."""
    names = {name for line in metrics for name in line} - {*NOT_DRAWN}
    return sorted(names, key=lambda name: (name != "loss", name != "gradient_norm", name))


def curve(metrics: Sequence[Mapping[str, Any]], name: str) -> str:
    """One metric over steps: each line written, thin, and their running mean."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        _draw(axes, metrics, name)
        return as_svg(figure, f"Curve: {name.replace('_', ' ')} over steps")


def write_curves(path: Path, trainings: Sequence[Trained]) -> None:
    """The loss of every training as one PNG file, for a document."""
    shown = [training for training in trainings if training.metrics]
    with matplotlib.rc_context(PAPER):
        columns = min(3, len(shown))
        rows = -(-len(shown) // columns)
        figure = Figure(figsize=(3.2 * columns, 2.4 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, training in zip(panels, shown, strict=False):
            _draw(axes, training.metrics, "loss")
            axes.set_title(training.name, fontsize=8.5)
        for axes in panels[len(shown) :]:
            axes.remove()
        write_png(path, figure)


def _draw(axes: Axes, metrics: Sequence[Mapping[str, Any]], name: str) -> None:
    points = [(line["step"], line[name]) for line in metrics if is_number(line.get(name))]
    steps, values = np.array(points, float).reshape(-1, 2).T
    width = window(len(values))
    axes.plot(steps, values, color=CLEAN, linewidth=0.8, alpha=0.45, label="as written")
    if width > 1:
        axes.plot(steps, smoothed(values, width), color=INK, linewidth=1.4, label=f"mean of {width} lines")
        axes.legend(loc="upper right", borderaxespad=0)
    axes.set(xlabel="step", ylabel=name.replace("_", " "))
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(values) and min(values) > 0 and max(values) / min(values) > SPREAD:
        _logarithmic(axes, max(values) / min(values))


def window(n: int) -> int:
    """Lines in a running mean of n: one in twenty-five, an odd number; 1 where there are too few to smooth."""
    return 1 if n < 15 else max(5, n // 25 // 2 * 2 + 1)


def smoothed(values: Float[np.ndarray, " n"], width: int) -> Float[np.ndarray, " n"]:
    """Mean over `width` neighbours, fewer at the ends."""
    kernel = np.ones(min(width, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _logarithmic(axes: Axes, spread: float) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if spread < 200 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
