"""Figures about the protocol: accuracy against resubmissions, and how attacks converged."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ssni_jax.report.figures.style import ADVERSARIAL, CLEAN, RULE, SERIES, STYLE, add_legend, as_svg, look, new_panel


def resubmission_curves(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Accuracy against an attacker who may submit an image m times; None where no row has several draws.

    More rows than there are hues are shown by the first and the last point of their curves.
    """
    if not any(len(row["resubmission"]) > 1 for row in rows):
        return None
    if len(rows) > len(SERIES):
        return _resubmission_ends([row for row in rows if row["resubmission"]])
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        for number, row in enumerate(rows):
            if row["resubmission"]:
                _resubmission(axes, number, row)
        _finish(axes, "submissions m of one image", "accuracy (% of images)")
        return as_svg(figure, "Curves: accuracy against the number of submissions")


def attack_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """Share of wrong draws at each iteration of an attack, one curve per defence; None without any curve.

    Where iterates were judged, marks show the share of answers under fresh keys that are wrong.
    """
    means = {name: mean_curve(units) for name, units in curves.items()}
    if not any(len(mean) > 1 for mean in means.values()):
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        for number, (name, mean) in enumerate(means.items()):
            if len(mean):
                style = look(number) | {"marker": "", "linewidth": 1.2}
                axes.plot(np.arange(1, len(mean) + 1), 100 * mean, label=name, **style)
                _judged_iterates(axes, number, name, curves[name])
        _finish(axes, "iteration of the attack", "wrong answers (% of draws)")
        return as_svg(figure, "Curves: how the attacks converged")


def mean_curve(units: Sequence[Mapping[str, Any]], name: str = "broken") -> Float[np.ndarray, " n"]:
    """The mean over images of the longest curves of `units`; shorter ones are of another number of iterations."""
    longest = max((len(unit.get(name, ())) for unit in units), default=0)
    kept = [unit for unit in units if len(unit.get(name, ())) == longest > 0]
    if not kept:
        return np.zeros(0)
    shares = np.array([unit[name] for unit in kept], dtype=float)
    return np.average(shares, axis=0, weights=[unit["n"] for unit in kept])


def _judged_iterates(axes: Axes, number: int, name: str, units: Sequence[Mapping[str, Any]]) -> None:
    """Marks at the iterations that were judged, those of the longest list."""
    wrong = mean_curve(units, "answered_wrong")
    if len(wrong):
        at = max((unit["judged"] for unit in units), key=len)
        style: Any = look(number) | {"linestyle": ""}
        axes.plot(at, 100 * wrong, label=f"{name}, judged", ms=3.5, **style)


def _resubmission(axes: Axes, number: int, row: Mapping[str, Any]) -> None:
    style, curve = look(number), row["resubmission"]
    m = [point["m"] for point in curve]
    low, high = 100 * np.array([point["accuracy_ci"] for point in curve]).T
    axes.fill_between(m, low, high, color=style["color"], alpha=0.12, linewidth=0)
    axes.plot(m, [100 * point["accuracy"] for point in curve], label=row["defense"], ms=3.5, lw=1.2, **style)


def _resubmission_ends(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per row: accuracy after m submissions, one and the most, with 95 % intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(5.2, 0.8 + 0.24 * len(rows))
        axes.hlines(range(len(rows)), 0, 100, color=RULE, linewidth=0.5)
        for offset, end, colour, marker in ((-0.12, 0, CLEAN, "o"), (0.12, -1, ADVERSARIAL, "s")):
            points = [row["resubmission"][end] for row in rows]
            shares = 100 * np.array([(point["accuracy"], *point["accuracy_ci"]) for point in points])
            reach = np.abs(shares[:, 1:] - shares[:, :1]).T
            name = "m = " + "-".join(str(m) for m in sorted({point["m"] for point in points}))
            style: Any = {"color": colour, "fmt": marker, "ms": 3.5, "elinewidth": 0.9, "label": name}
            axes.errorbar(shares[:, 0], np.arange(len(rows)) + offset, xerr=reach, **style)
        axes.set(yticks=range(len(rows)), yticklabels=[row["defense"] for row in rows], xlim=(0, 101))
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="accuracy (% of images)")
        axes.tick_params(axis="y", length=0)
        add_legend(axes, ncols=2)
        return as_svg(figure, "Points: accuracy after the first and after the last submission")


def _finish(axes: Axes, x: str, y: str) -> None:
    """Shares from 0 to 100 %, with a legend."""
    axes.set(xlabel=x, ylabel=y, ylim=(0, 102))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y")
    add_legend(axes)
