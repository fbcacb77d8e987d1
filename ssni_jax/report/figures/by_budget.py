"""Accuracy against the radius of the attack; a radius of zero is the clean accuracy of the same images."""

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ssni_jax.journal.sweep_rows import strongest
from ssni_jax.report.figures.style import INK, STYLE, add_legend, as_svg, look, new_panel

Row = dict[str, Any]


def accuracy_by_eps(rows: Sequence[Row]) -> list[str]:
    """One figure per norm with several radii: first all defences under their strongest attack, then each by itself."""
    figures = []
    for norm in dict.fromkeys(row["norm"] for row in rows):
        here = [row for row in rows if row["norm"] == norm and row["robust"] is not None and row["eps"] is not None]
        if len({row["eps"] for row in here}) > 1:
            defenses = list(dict.fromkeys(row["defense"] for row in here))
            figures.append(_overview(norm, defenses, here))
            figures += [
                _defense(norm, defense, [row for row in here if row["defense"] == defense]) for defense in defenses
            ]
    return figures


def _overview(norm: str, defenses: Sequence[str], rows: Sequence[Row]) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.7)
        for number, defense in enumerate(defenses):
            points = _worst([row for row in rows if row["defense"] == defense])
            _curve(axes, points, label=defense, **look(number))
        _finish(axes, norm, "strongest attack on each defence")
        return as_svg(figure, f"Curves: accuracy against {norm} radius")


def _defense(norm: str, defense: str, rows: Sequence[Row]) -> str:
    """Attacks at several radii by name, and the strongest one at every radius."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.7)
        number = 0
        for attack in dict.fromkeys(row["attack"] for row in rows):
            points = sorted((row for row in rows if row["attack"] == attack), key=lambda row: row["eps"])
            if len(points) > 1:
                _curve(axes, points, label=attack, **look(number))
                number += 1
        dashes: Any = {"color": INK, "linestyle": (0, (1, 1.5)), "marker": "x", "label": "strongest"}
        _curve(axes, _worst(rows), with_intervals=False, **dashes)
        _finish(axes, norm, defense)
        return as_svg(figure, f"Curves: accuracy of {defense} against {norm} radius")


def _worst(rows: Sequence[Row]) -> list[Row]:
    """The strongest attack at every radius."""
    radii = sorted({row["eps"] for row in rows})
    best = [strongest([row for row in rows if row["eps"] == eps]) for eps in radii]
    return [row for row in best if row is not None]


def _curve(axes: Axes, points: Sequence[Row], with_intervals: bool = True, **style: Any) -> None:
    """Accuracy over the radius, from that of the clean images of the same cell on."""
    eps = [0.0, *(row["eps"] for row in points)]
    if with_intervals:
        ends = [points[0]["clean_ci"], *(row["accuracy_ci"] for row in points)]
        low, high = ([100 * interval[end] for interval in ends] for end in (0, 1))
        axes.fill_between(eps, low, high, color=style["color"], alpha=0.1, linewidth=0)
    shares = [points[0]["clean"], *(row["accuracy"] for row in points)]
    axes.plot(eps, [100 * share for share in shares], markersize=3.5, linewidth=1.2, **style)


def _finish(axes: Axes, norm: str, title: str) -> None:
    axes.set(xlabel=f"{norm} radius of the attack", ylabel="accuracy (% of images)", ylim=(0, 102))
    axes.set_xlim(left=0)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.annotate(title, (0.02, 0.03), xycoords="axes fraction", fontsize=7.5)
    add_legend(axes, ncols=2, columnspacing=1.0)
