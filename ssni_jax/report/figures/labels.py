"""Placing names beside marks so that they cover neither each other nor a mark nor a line."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DISTANCES = (8.0, 16.0, 27.0, 40.0)  # of a name from its mark, in points
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
PADDING = np.array([-3, -0.5, 3, 0.5])  # kept free around a name
OUTSIDE, ON_NAME, ON_LINE = 20.0, 8.0, 2.0  # how bad one square point of overlap is,
FAR, CONFUSING = 6.0, 600.0  # one point of distance, and a name that may be taken for another mark's

Box = Float[np.ndarray, "4"]  # left, low, right, high in points of the figure
Boxes = Float[np.ndarray, "N 4"]
Point = Float[np.ndarray, "2"]
Points = Float[np.ndarray, "N 2"]
Line = tuple[tuple[float, float], tuple[float, float]]


class Surroundings(NamedTuple):
    """What a name has to keep clear of: the frame's outside, marks with their boxes, and lines."""

    frame: Box
    points: Points
    marks: Boxes
    strokes: Boxes


def freeze(figure: Figure) -> None:
    """Fixes the layout of a figure, so that the places of names stay valid."""
    FigureCanvasAgg(figure).draw()
    figure.set_layout_engine("none")


def label(axes: Axes, places: Sequence[tuple[float, float]], names: Sequence[str], lines: Sequence[Line]) -> None:
    """Writes each name near its place (in data coordinates), clear of `lines` (two ends each) where possible.

    The figure has to be frozen. Every name takes the best free place, three times over, so that early names can move.
    """
    around = _surroundings(axes, places, lines)
    sizes = [_size(axes, name) for name in names]
    chosen = np.full((len(names), 4), np.inf)  # a box at infinity covers nothing
    for i in [*range(len(names))] * 3:
        options = _options(around.points[i], sizes[i])
        costs = [_cost(box, i, around, np.delete(chosen, i, 0)) + FAR * distance for box, distance in options]
        chosen[i] = options[int(np.argmin(costs))][0]
    for point, name, box in zip(around.points, names, chosen, strict=True):
        _write(axes, point, name, box)


def _cost(box: Box, own: int, around: Surroundings, names: Boxes) -> float:
    outside = np.prod(box[2:] - box[:2]) - _overlap(box, around.frame[None])
    covered = _overlap(box + PADDING, names) + _overlap(box + PADDING, around.marks)
    confusing = CONFUSING * _is_confusing(box, around.points[own], np.delete(around.points, own, 0))
    return float(OUTSIDE * outside + ON_NAME * covered + ON_LINE * _overlap(box, around.strokes) + confusing)


def _overlap(box: Box, boxes: Boxes) -> float:
    """Area that a box shares with each of several, in all."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return float(np.sum(np.prod(np.maximum(sides, 0.0), axis=1)))


def _is_confusing(box: Box, own: Point, others: Points) -> bool:
    """Whether it stands nearer to another mark than to its own, or the way to its own passes through another."""
    way = own + np.linspace(0, 1, 9)[:, None] * (_nearest(box, own) - own)
    near = np.min(np.linalg.norm(way[:, None] - others, axis=-1), axis=0) < 3
    crossed = near & (np.linalg.norm(others - own, axis=-1) > 3)
    distances = np.linalg.norm(_nearest(box, others) - others, axis=-1)
    return bool(np.any(crossed | (distances < np.linalg.norm(_nearest(box, own) - own) + 1.5)))


def _nearest(box: Box, points: np.ndarray) -> np.ndarray:
    return np.clip(points, box[:2], box[2:])


def _options(point: Point, size: Point) -> list[tuple[Box, float]]:
    """Boxes of a name on all sides of its mark, each with its distance: at the sides centred, at corners beginning."""
    options = []
    for distance in DISTANCES:
        for way in np.array(DIRECTIONS):
            low = point + way * distance * (0.75 if np.all(way) else 1.0) + size * (np.minimum(way, 0) - (way == 0) / 2)
            options.append((np.concatenate([low, low + size]), distance))
    return options


def _surroundings(axes: Axes, places: Sequence[tuple[float, float]], lines: Sequence[Line]) -> Surroundings:
    points = _in_points(axes, np.array(places, float).reshape(-1, 2))
    ends = _in_points(axes, np.array(lines, float).reshape(-1, 2)).reshape(-1, 2, 2)
    strokes = np.concatenate([ends.min(1) - 1, ends.max(1) + 1], axis=1)  # upright or level lines as thin boxes
    frame = np.array(axes.get_window_extent().extents) * _scale(axes)
    return Surroundings(frame, points, np.concatenate([points - 5, points + 5], axis=1), strokes)


def _in_points(axes: Axes, places: Points) -> Points:
    return axes.transData.transform(places) * _scale(axes)


def _in_data(axes: Axes, points: np.ndarray) -> np.ndarray:
    return axes.transData.inverted().transform(points / _scale(axes))


def _scale(axes: Axes) -> float:
    return 72 / axes.figure.dpi


def _size(axes: Axes, name: str) -> Point:
    text = axes.text(0, 0, name)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height]) * _scale(axes)


def _write(axes: Axes, point: Point, name: str, box: Box) -> None:
    """The name in its box, with a thin line to its mark where it stands away from it."""
    x, y = _in_data(axes, point)
    axes.annotate(name, (x, y), tuple(box[:2] - point), textcoords="offset points", ha="left", va="bottom", zorder=5)
    end = _nearest(box, point)
    if np.linalg.norm(end - point) > DISTANCES[0] + 1:
        axes.plot(*_in_data(axes, np.array([point, end])).T, color="#7d7d7d", linewidth=0.6, zorder=1)
