"""The figures of evaluations: blue is clean and vermilion adversarial, and the two also differ by line or marker."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ssni_jax.journal.formats import percent
from ssni_jax.journal.records import EvaluationRecord
from ssni_jax.journal.rows import known, mean_t
from ssni_jax.report.figures.style import ADVERSARIAL, CLEAN, INK, STYLE, add_legend, as_svg, new_panel

KINDS = (("clean", CLEAN, "-", "o"), ("adversarial", ADVERSARIAL, "--", "^"))
T_LABEL = "noise level t (share of schedule)"
NORM_LABEL = "score norm (dimensionless)"


def accuracy_bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """Clean and robust accuracy of every defence with 95 % intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(4.0, 0.75 + 0.52 * len(rows))
        for offset, name, colour in ((-0.19, "clean", CLEAN), (0.19, "robust", ADVERSARIAL)):
            shown = [(number, row) for number, row in enumerate(rows) if row[name] is not None]
            if shown:
                places = [number + (0 if row["robust"] is None else offset) for number, row in shown]
                _bars(axes, np.array(places), [row for _, row in shown], name, colour)
        axes.set(yticks=range(len(rows)), yticklabels=[row["defense"] for row in rows], xlim=(0, 100))
        axes.set_xlabel("accuracy (% of images), with 95 % intervals")
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        add_legend(axes, ncols=2)
        return as_svg(figure, "Bars: accuracy of each defence")


def _bars(axes: Axes, places: np.ndarray, rows: Sequence[Mapping[str, Any]], name: str, colour: str) -> None:
    shares = np.array([[row[name] or 0.0, *row[f"{name}_ci"]] for row in rows]) * 100
    reach = np.abs(shares[:, 1:] - shares[:, :1]).T
    whiskers = {"ecolor": INK, "elinewidth": 1, "capsize": 2.5}
    look: Any = {"facecolor": colour + "b0", "edgecolor": colour, "linewidth": 0.8, "error_kw": whiskers}
    axes.barh(places, shares[:, 0], 0.34, xerr=reach, label=name, **look)
    for place, row in zip(places, rows, strict=True):
        axes.text(1.02, place, percent(row[name]), transform=axes.get_yaxis_transform(), va="center")


def score_norms(records: Sequence[EvaluationRecord]) -> str:
    """Histogram of the score norm of clean and of adversarial images."""
    clean = known(record["clean_norm"] for record in records)
    adversarial = known(record.get("adversarial_norm") for record in records)
    return _histogram(clean, adversarial, NORM_LABEL, "Histogram: score norm")


def noise_levels(records: Sequence[EvaluationRecord]) -> str:
    """Histogram of the noise level t(x) given to clean and to adversarial images, averaged over rounds."""
    clean = known(mean_t(record["clean_t"]) for record in records)
    adversarial = known(mean_t(record.get("adversarial_t")) for record in records)
    return _histogram(clean, adversarial, T_LABEL, "Histogram: noise level")


def level_curve(records: Sequence[EvaluationRecord], curves: Sequence[Mapping[str, Any]]) -> str:
    """Noise level against score norm, one mark per image, over the curves of the method."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        for number, curve in enumerate(curves):
            axes.plot(curve["norm"], curve["t"], color=INK, linewidth=1, label="" if number else "t(norm)")
        for name, colour, _, marker in KINDS:
            points = [(record.get(f"{name}_norm"), mean_t(record.get(f"{name}_t"))) for record in records]
            pairs = np.array([point for point in points if len(known(point)) == 2], dtype=float).reshape(-1, 2)
            look: Any = {"s": 12, "marker": marker, "linewidth": 0.7, "rasterized": len(pairs) > 1000}
            look |= {"label": name} if len(pairs) else {}
            axes.scatter(*pairs.T, facecolor=colour + "40", edgecolor=colour, **look)
        axes.set(xlabel=NORM_LABEL, ylabel=T_LABEL, xlim=_reach(records))
        axes.set_ylim(bottom=0)
        add_legend(axes, ncols=3, columnspacing=1.1)
        return as_svg(figure, "Scatter: noise level against score norm")


def _histogram(clean: list[float], adversarial: list[float], label: str, title: str) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        edges = _edges(np.array([*clean, *adversarial]))
        for (name, colour, line, _), values in zip(KINDS, (clean, adversarial), strict=True):
            if not values:
                continue
            counts = np.histogram(values, edges)[0].astype(float)
            counts[counts == 0] = np.nan  # an empty bin draws no line along the axis
            axes.stairs(counts, edges, fill=True, facecolor=colour + "38", edgecolor="none")
            axes.stairs(counts, edges, color=colour, linestyle=line, linewidth=1.3, label=name, zorder=3)
        axes.set(xlabel=label, ylabel="images")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        axes.grid(axis="y")
        add_legend(axes, ncols=2)
        return as_svg(figure, title)


def _reach(records: Sequence[EvaluationRecord]) -> tuple[float, float] | None:
    """The norms that occurred and a little around them: a given curve may go on for long."""
    norms = known(record.get(key) for record in records for key in ("clean_norm", "adversarial_norm"))
    margin = 0.06 * (max(norms) - min(norms)) if norms else 0.0
    return (min(norms) - margin, max(norms) + margin) if margin else None


def _edges(values: np.ndarray) -> np.ndarray:
    """Common bins for both kinds, at most 40; a single value gets a bin of its own."""
    if values.size == 0 or np.ptp(values) == 0:
        middle = float(values[0]) if values.size else 0.5
        return middle + np.array([-0.05, 0.05]) * (abs(middle) or 1.0)
    return np.histogram_bin_edges(values, min(40, max(8, round(1.5 * np.sqrt(values.size)))))
