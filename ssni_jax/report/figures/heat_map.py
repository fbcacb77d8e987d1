"""Accuracy of every cell of a sweep as a table of colours: attacks by defences, one block per budget."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ssni_jax.report.figures.style import CLEAN, INK, PAPER, RULE, STYLE, as_svg

CELL_WIDTH, ROW_HEIGHT, CHARACTER, EDGE = 0.98, 0.34, 0.075, 0.02  # inches
DARKEST = 0.62  # opacity of 100 %, under which text stays readable on light and on dark pages

Row = Mapping[str, Any]


def heat_map(rows: Sequence[Row], is_paper: bool = False) -> Figure:
    """One block per budget with a row per attack and a column per defence; each cell has its interval and n."""
    defenses = list(dict.fromkeys(row["defense"] for row in rows))
    lines = _lines(rows)
    margin = CHARACTER * max(len(attack) for attack, _ in lines) + 0.15
    width, height = margin + CELL_WIDTH * len(defenses) + EDGE, ROW_HEIGHT * (len(lines) + 1) + EDGE
    with matplotlib.rc_context(PAPER if is_paper else STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((margin / width, EDGE / height, 1 - (margin + EDGE) / width, 1 - EDGE / height))
        axes.set(xlim=(0, len(defenses)), ylim=(len(lines), -1))
        axes.axis("off")
        for column, defense in enumerate(defenses):
            axes.text(column + 0.5, -0.4, defense, ha="center", va="center", weight="bold", color=INK)
        for number, (attack, cells) in enumerate(lines):
            is_head = cells is None
            axes.text(
                -0.06,
                number + 0.5 + 0.12 * is_head,
                attack,
                ha="right",
                va="center",
                weight="bold" if is_head else "normal",
            )
            for row in cells or ():
                _cell(axes, defenses.index(row["defense"]), number, row, PAPER["grid.color"] if is_paper else RULE)
        return figure


def heat_map_svg(rows: Sequence[Row]) -> str:
    """The heat map for the page."""
    figure = heat_map(rows)
    with matplotlib.rc_context(STYLE):
        return as_svg(figure, "Heat map: accuracy of each defence under each attack")


def _lines(rows: Sequence[Row]) -> list[tuple[str, list[Row] | None]]:
    """The lines from top to bottom: a budget without cells, then its attacks with theirs."""
    lines: list[tuple[str, list[Row] | None]] = []
    for budget in dict.fromkeys(row["budget"] for row in rows):
        here = [row for row in rows if row["budget"] == budget]
        lines.append((budget or "no attack", None))
        for attack in dict.fromkeys(row["attack"] for row in here):
            lines.append((attack, [row for row in here if row["attack"] == attack]))
    return lines


def _cell(axes: Axes, column: int, line: int, row: Row, rule: str) -> None:
    """The accuracy on its colour, and below it the interval and the number of images."""
    low, high = (100 * end for end in row["accuracy_ci"])
    look: Any = {"facecolor": CLEAN, "alpha": DARKEST * row["accuracy"], "linewidth": 0}
    axes.add_patch(Rectangle((column, line), 1, 1, **look))
    axes.add_patch(Rectangle((column, line), 1, 1, facecolor="none", edgecolor=rule, linewidth=0.5))
    mark = "*" if row["accuracy_invalid"] else ""
    axes.text(column + 0.5, line + 0.36, f"{100 * row['accuracy']:.1f}{mark}", ha="center", va="center")
    small: Any = {"ha": "center", "va": "center", "fontsize": 5.6}
    axes.text(column + 0.5, line + 0.78, f"[{low:.0f}, {high:.0f}]  n {row['n']}", **small)
