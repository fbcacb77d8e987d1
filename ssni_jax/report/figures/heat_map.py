"""Accuracy of every cell of a sweep as a table of colours: attacks by defences, or many defences by attacks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ssni_jax.report.figures.style import CLEAN, INK, PAPER, RULE, STYLE, as_svg

CELL_WIDTH, ROW_HEIGHT, CHARACTER, EDGE = 0.98, 0.34, 0.075, 0.02  # inches
WIDEST = 10  # inches of columns; defences that need more are the rows
DARKEST = 0.62  # opacity of 100 %, under which text stays readable on light and on dark pages

Row = Mapping[str, Any]
Line = tuple[str, Mapping[str, Row] | None]  # its text and its cells by column; no cells where a block begins


def heat_map(rows: Sequence[Row], is_paper: bool = False) -> Figure:
    """Each cell has its accuracy, interval and n.

    A block per budget, with a row per attack and a column per defence; more than ten defences, or fewer with long
    names, are the rows instead, with a column per attack and budget.
    """
    defenses = _unique(row["defense"] for row in rows)
    is_wide = len(defenses) * _cell_width(defenses) > WIDEST
    columns, lines = _by_defense(rows) if is_wide else (defenses, _by_attack(rows))
    margin = CHARACTER * max(len(text) for text, _ in lines) + 0.15
    width, height = margin + _cell_width(columns) * len(columns) + EDGE, ROW_HEIGHT * (len(lines) + 1) + EDGE
    with matplotlib.rc_context(PAPER if is_paper else STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((margin / width, EDGE / height, 1 - (margin + EDGE) / width, 1 - EDGE / height))
        axes.set(xlim=(0, len(columns)), ylim=(len(lines), -1))
        axes.axis("off")
        for number, column in enumerate(columns):
            axes.text(number + 0.5, -0.45, column, ha="center", va="center", weight="bold", color=INK)
        for number, (text, cells) in enumerate(lines):
            y, weight = (number + 0.62, "bold") if cells is None else (number + 0.5, "normal")
            axes.text(-0.06, y, text, ha="right", va="center", weight=weight)
            for column, row in (cells or {}).items():
                _cell(axes, columns.index(column), number, row, PAPER["grid.color"] if is_paper else RULE)
        return figure


def heat_map_svg(rows: Sequence[Row]) -> str:
    """The heat map for the page."""
    figure = heat_map(rows)
    with matplotlib.rc_context(STYLE):
        return as_svg(figure, "Heat map: accuracy of each defence under each attack")


def _cell_width(columns: Sequence[str]) -> float:
    """Inches in which every column's name fits."""
    return max(CELL_WIDTH, *(CHARACTER * len(part) + 0.1 for column in columns for part in column.split("\n")))


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _by_attack(rows: Sequence[Row]) -> list[Line]:
    """The lines from top to bottom: a budget without cells, then its attacks with those of each defence."""
    lines: list[Line] = []
    for budget in _unique(row["budget"] for row in rows):
        here = [row for row in rows if row["budget"] == budget]
        lines.append((budget or "no attack", None))
        for attack in _unique(row["attack"] for row in here):
            lines.append((attack, {row["defense"]: row for row in here if row["attack"] == attack}))
    return lines


def _by_defense(rows: Sequence[Row]) -> tuple[list[str], list[Line]]:
    """The columns, one per attack and budget, and one line per defence."""
    named = [(f"{row['attack']}\n{row['budget'] or 'no attack'}", row) for row in rows]
    lines: list[Line] = [
        (defense, {column: row for column, row in named if row["defense"] == defense})
        for defense in _unique(row["defense"] for row in rows)
    ]
    return _unique(column for column, _ in named), lines


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
