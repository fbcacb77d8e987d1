"""The Pareto plot of certified methods: panels for the page, and one picture for a paper."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from ssni_jax.journal.formats import L2, SIGMA, duration
from ssni_jax.report.figures.labels import freeze, label
from ssni_jax.report.figures.style import INK, PAPER, STYLE, as_svg, look, new_panel, write_png
from ssni_jax.report.front import (
    Mark,
    Method,
    accuracy_for_quality,
    accuracy_for_time,
    common_sigma,
    front,
    radius_for_time,
)

TIME = "time per image, purified and classified once (log scale)"


class Panel(NamedTuple):
    """One panel: the labels of its axes, its marks, whether its value is a share, and whether its cost is a time."""

    cost: str
    value: str
    marks: list[Mark]
    is_share: bool = True
    is_time: bool = False


def panels(methods: Sequence[Method], radius: float, distance: str = "distance") -> list[Panel]:
    """Accuracy and ACR against time; accuracy against transport and the named distance, where they were measured."""
    value, sigma = f"certified accuracy at {L2} radius {radius:g} (%)", common_sigma(methods, radius)
    shown = [
        Panel(TIME, f"{value}, best {SIGMA}", accuracy_for_time(methods, radius), is_time=True),
        Panel(TIME, f"average certified radius, best {SIGMA}", radius_for_time(methods), is_share=False, is_time=True),
    ]
    measures = {"transport": f"transport: mean {L2} from the clean image", "distance": distance}
    if sigma is not None:
        suffix = f", {SIGMA} = {sigma:g}"
        for measure, name in measures.items():
            marks = accuracy_for_quality(methods, measure, sigma, radius)
            shown.append(Panel(name + suffix, value + suffix, marks))
    return [panel for panel in shown if panel.marks]


def pareto_svg(panel: Panel, methods: Sequence[str]) -> str:
    """One panel for the page; `methods` are all names in their order, which gives each its hue and marker."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(4.6, 3.5)
        _draw(axes, panel, methods)
        freeze(figure)
        _name(axes, panel)
        return as_svg(figure, f"Pareto plot: {panel.value} against {panel.cost}")


def write_pareto(path: Path, shown: Sequence[Panel], methods: Sequence[str]) -> None:
    """All panels as one PNG, two in a row."""
    with matplotlib.rc_context(PAPER):
        rows = -(-len(shown) // 2)
        figure = Figure(figsize=(9.6, 3.7 * rows), layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes, panel in zip(grid, shown, strict=False):
            _draw(axes, panel, methods)
        for axes in grid[len(shown) :]:
            axes.remove()
        freeze(figure)
        for axes, panel in zip(grid, shown, strict=False):
            _name(axes, panel)
        write_png(path, figure)


def _draw(axes: Axes, panel: Panel, methods: Sequence[str]) -> None:
    factor = 100 if panel.is_share else 1
    for mark in panel.marks:
        style = look(methods.index(mark.method))
        if mark.interval:
            ends = factor * np.array(mark.interval)
            axes.plot([mark.cost] * 2, ends, color=style["color"], linewidth=1, alpha=0.55, zorder=2)
        filled: Any = {"facecolor": style["color"], "edgecolor": INK, "linewidth": 0.5}
        axes.scatter(mark.cost, factor * mark.value, s=44, marker=style["marker"], zorder=4, **filled)
    axes.set(xlabel=panel.cost, ylabel=panel.value)
    if panel.is_time:
        _time_axis(axes, [mark.cost for mark in panel.marks])
    else:
        axes.margins(x=0.3)
    axes.margins(y=0.12)
    axes.autoscale_view()
    axes.set_xlim(axes.get_xlim())
    axes.plot(*np.array(_steps(axes, panel)).T, color=INK, linewidth=0.9, alpha=0.7, zorder=1)
    axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
    axes.grid(alpha=0.5)


def _steps(axes: Axes, panel: Panel) -> list[tuple[float, float]]:
    """Corners of the front: the best value that a cost buys, on to the edge of the panel."""
    factor = 100 if panel.is_share else 1
    corners: list[tuple[float, float]] = []
    for mark in front(panel.marks):
        corners += [(mark.cost, corners[-1][1])] if corners else []
        corners.append((mark.cost, factor * mark.value))
    return [*corners, (axes.get_xlim()[1], corners[-1][1])]


def _name(axes: Axes, panel: Panel) -> None:
    factor = 100 if panel.is_share else 1
    places = [(mark.cost, factor * mark.value) for mark in panel.marks]
    steps = _steps(axes, panel)
    whiskers = [
        ((mark.cost, factor * mark.interval[0]), (mark.cost, factor * mark.interval[1]))
        for mark in panel.marks
        if mark.interval
    ]
    label(axes, places, [mark.method for mark in panel.marks], [*pairwise(steps), *whiskers])


def _time_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """A logarithmic axis with room for names, and with ticks at 1, 2 and 5 where it is short."""
    low, high = min(seconds), max(seconds)
    axes.set(xscale="log", xlim=(low / 2.5, high * 4))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator() if high / low < 50 else LogLocator(subs=range(2, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
