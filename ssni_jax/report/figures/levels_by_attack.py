"""Distributions of t(x) and of the score norm, one line per attack on a defence."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssni_jax.journal.rows import known, mean_t
from ssni_jax.report.figures.accuracies import NORM_LABEL, T_LABEL
from ssni_jax.report.figures.style import ADVERSARIAL, CLEAN, STYLE, as_svg

LINE_HEIGHT, QUANTILES = 0.2, (0.05, 0.25, 0.5, 0.75, 0.95)


class Levels(NamedTuple):
    """The t, averaged over rounds, and the score norms of one set of images."""

    name: str
    t: Sequence[float]
    norms: Sequence[float]


def levels_by_attack(defense: str, clean: Levels, attacked: Sequence[Levels]) -> str:
    """Medians with the middle half and the middle 90 % of the images, the clean ones on top."""
    lines = [clean, *attacked]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.75 + LINE_HEIGHT * len(lines)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, label, values in (
            (left, T_LABEL, [line.t for line in lines]),
            (right, NORM_LABEL, [line.norms for line in lines]),
        ):
            _panel(axes, label, values)
        left.set(yticks=range(len(lines)), yticklabels=[line.name for line in lines])
        left.set_ylim(len(lines) - 0.4, -0.6)
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
        return as_svg(figure, f"Distributions: noise level and score norm of {defense} under each attack")


def _panel(axes: Axes, label: str, values: Sequence[Sequence[float]]) -> None:
    for number, numbers in enumerate(values):
        if len(numbers):
            low, first, middle, third, high = np.quantile(numbers, QUANTILES)
            look: Any = {"color": ADVERSARIAL if number else CLEAN, "solid_capstyle": "butt"}
            axes.plot([low, high], [number, number], linewidth=1, **look)
            axes.plot([first, third], [number, number], linewidth=4.5, alpha=0.55, **look)
            axes.plot(middle, number, marker="o" if not number else "^", markersize=4, color=look["color"])
    if len(values[0]):
        axes.axvline(float(np.median(values[0])), color=CLEAN, linewidth=0.7, linestyle=":")
    axes.set(xlabel=label)
    axes.set_xlim(left=0)
    axes.grid(axis="x")


def levels_of(name: str, kind: str, records: Sequence[Mapping[str, Any]]) -> Levels:
    """The levels of the clean or the adversarial images of some records."""
    t = known(mean_t(record.get(f"{kind}_t")) for record in records)
    return Levels(name, t, known(record.get(f"{kind}_norm") for record in records))
