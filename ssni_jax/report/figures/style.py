"""Figures as inline SVG that takes its text colour and its hues from the surrounding page, light or dark.

The hues are Okabe and Ito's colour-blind-safe palette, and series also differ by line or marker. Figures do not use
pyplot, so no display, backend or global state is involved.
"""

import html
import io
import math
import re
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssni_jax.files.atomic import write_bytes

INK, RULE, CLEAN, ADVERSARIAL = "#010203", "#0a0b0c", "#0072b2", "#d55e00"
SERIES = ("#0071b1", "#d45d00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7d7d7d")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 1, 1, 1)))
PAGE_COLOURS = {INK: "currentColor", RULE: "var(--rule)", CLEAN: "var(--clean)", ADVERSARIAL: "var(--adversarial)"}
PAGE_COLOURS |= {colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it takes the page's font and can be searched
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.hashsalt": "ssni",  # the same figure gives the same bytes
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
}

LONG_LEGEND = 6  # lines that a panel has room for
PAPER: Any = STYLE | {name: "#c9ccd1" for name, value in STYLE.items() if value == RULE}


def look(number: int) -> dict[str, Any]:
    """Hue, marker and line of the series of that number; beyond the eighth they begin again."""
    at = number % len(SERIES)
    return {"color": SERIES[at], "marker": MARKERS[at], "linestyle": LINES[at]}


def new_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """One empty panel, in inches; on a phone it is as wide as the screen."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def add_legend(axes: Axes, **options: Any) -> None:
    """A legend above the panel, where it covers nothing, if anything drawn has a name; a long one gets more room."""
    names = axes.get_legend_handles_labels()[1]
    n_lines = math.ceil(len(names) / options.get("ncols", 1))
    if isinstance(axes.figure, Figure) and n_lines > LONG_LEGEND:
        axes.figure.set_figheight(axes.figure.get_figheight() + 0.17 * (n_lines - LONG_LEGEND))
    if names:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2, **options)


def as_svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> element that scales with its container and is named for readers that do not see it."""
    content = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(content, format="svg", dpi=200, transparent=True, metadata=nothing)
    text = content.getvalue()
    for colour, page_colour in PAGE_COLOURS.items():
        text = text.replace(colour, page_colour)
    text = text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)
    text = re.sub(r'(?<=\s)(width|height)="[^"]*pt"\s', "", text)
    return re.sub(r'<g id="[^"]*"', "<g", text)  # matplotlib numbers its groups anew in every figure


def write_png(path: Path, figure: Figure) -> None:
    """The figure on white paper."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    write_bytes(path, content.getvalue())
