"""The figures of certifications: accuracy over radius, and the radii themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ssni_jax.journal.certified_rows import certified_accuracy, certified_radii
from ssni_jax.journal.formats import L2, SIGMA
from ssni_jax.report.figures.style import INK, STYLE, as_svg, look, new_panel

Records = Sequence[Mapping[str, Any]]
RADIUS = f"{L2} radius"
ACCURACY = "certified accuracy (% of images)"
N_RADII = 301  # at which curves are drawn


def accuracy_over_radius(records: Records, largest: float) -> str:
    """Certified accuracy of one method for each sigma, over the band of their upper envelope."""
    radii = np.linspace(0, largest, N_RADII)
    curves = {sigma: certified_accuracy(level, radii) for sigma, level in by_sigma(records).items()}
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        _step(
            axes, radii, np.max([*curves.values()], axis=0), color=INK, alpha=0.16, linewidth=6, label=f"best {SIGMA}"
        )
        for number, (sigma, curve) in enumerate(curves.items()):
            _step(axes, radii, curve, label=f"{SIGMA} = {sigma:g}", **_line(number))
        _finish(axes, largest)
        axes.legend(loc="upper right", borderaxespad=0)
        return as_svg(figure, "Curves: certified accuracy over radius for each sigma")


def envelopes(methods: Mapping[str, Records], largest: float) -> str:
    """Certified accuracy of all methods, each with its best sigma at every radius."""
    radii = np.linspace(0, largest, N_RADII)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(6.4, 3.4)
        for number, (name, records) in enumerate(methods.items()):
            _step(axes, radii, envelope(records, radii), label=name, **_line(number))
        _finish(axes, largest)
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.02), borderaxespad=0, handlelength=2.4)
        return as_svg(figure, "Curves: certified accuracy over radius of every method")


def envelope(records: Records, radii: np.ndarray) -> np.ndarray:
    """The highest certified accuracy that any sigma reaches at each radius."""
    return np.max([certified_accuracy(level, radii) for level in by_sigma(records).values()], axis=0)


def radius_histogram(records: Records, largest: float) -> str:
    """Histogram of the certified radii of right images, for each sigma."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_panel(3.3, 2.5)
        edges = np.linspace(0, largest * 1.001, 25)
        for number, (sigma, level) in enumerate(by_sigma(records).items()):
            radii = certified_radii(level)
            counts = np.histogram(radii[np.isfinite(radii)], edges)[0].astype(float)
            counts[counts == 0] = np.nan  # an empty bin draws no line along the axis
            line = _line(number)
            axes.stairs(counts, edges, fill=True, facecolor=line["color"] + "30", edgecolor="none")
            axes.stairs(counts, edges, label=f"{SIGMA} = {sigma:g}", zorder=3, **line)
        axes.set(xlabel=f"{RADIUS} of right images", ylabel="images", xlim=(0, largest * 1.02))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        axes.grid(axis="y")
        axes.legend(loc="upper right", borderaxespad=0)
        return as_svg(figure, "Histogram: certified radii for each sigma")


def by_sigma(records: Records) -> dict[float, list[Mapping[str, Any]]]:
    """The records of each noise level, the smallest first."""
    sigmas = sorted({record["sigma"] for record in records})
    return {sigma: [record for record in records if record["sigma"] == sigma] for sigma in sigmas}


def _line(number: int) -> dict[str, Any]:
    style = look(number)
    return {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.4}


def _step(axes: Axes, radii: np.ndarray, shares: np.ndarray, **style: Any) -> None:
    """A share holds up to and including its radius, so steps are drawn to the left; a curve ends where it is zero."""
    end = len(shares) - np.count_nonzero(shares == 0) + 1
    axes.plot(radii[:end], 100 * shares[:end], drawstyle="steps-pre", solid_capstyle="butt", **style)


def _finish(axes: Axes, largest: float) -> None:
    axes.set(xlabel=RADIUS, ylabel=ACCURACY, xlim=(0, largest * 1.02), ylim=(0, 102))
    axes.grid(axis="y")
