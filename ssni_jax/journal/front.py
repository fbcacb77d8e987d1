"""Effectiveness against cost: where each certified method stands, and which of them no other beats."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

STATED_RADIUS = 0.5

Method = Mapping[str, Any]  # as certified_summary makes it
Row = Mapping[str, Any]  # one of its noise levels


class Mark(NamedTuple):
    """One method in a plane of cost and value, with the 95 % interval of its value."""

    method: str
    cost: float
    value: float
    interval: tuple[float, float] | None


def front(marks: Sequence[Mark]) -> list[Mark]:
    """The marks that no other dominates, the cheapest first."""
    return sorted((mark for mark in marks if not any(dominates(other, mark) for other in marks)), key=lambda m: m.cost)


def dominates(a: Mark, b: Mark) -> bool:
    """Whether `a` costs no more, is worth no less, and differs."""
    return a.cost <= b.cost and a.value >= b.value and (a.cost, a.value) != (b.cost, b.value)


def stated_radius(radii: Sequence[float], wanted: float = STATED_RADIUS) -> float:
    """The largest of `radii` that is not above the wanted one."""
    return max((radius for radius in radii if radius <= wanted), default=0.0)


def common_sigma(methods: Sequence[Method], radius: float) -> float | None:
    """Of the noise levels that every method has, the one of highest mean accuracy at `radius`; None without any."""
    shared = sorted(set.intersection(*({row["sigma"] for row in method["sigmas"]} for method in methods)))
    total = lambda sigma: sum(_accuracy(method, _at(method, sigma), radius)[0] for method in methods)  # noqa: E731
    return max(shared, key=total, default=None)


def accuracy_for_time(methods: Sequence[Method], radius: float) -> list[Mark]:
    """Certified accuracy at `radius` with the best sigma of each method, for its seconds at that sigma."""
    accuracy = lambda method, row: _accuracy(method, row, radius)  # noqa: E731
    best = lambda method: _at(method, method["envelope"][method["radii"].index(radius)]["sigma"])  # noqa: E731
    return _marks(methods, best, "seconds", accuracy)


def radius_for_time(methods: Sequence[Method]) -> list[Mark]:
    """Largest average certified radius over sigma of each method, for its seconds at that sigma."""
    best = lambda method: max(method["sigmas"], key=lambda row: row["acr"])  # noqa: E731
    return _marks(methods, best, "seconds", lambda method, row: (row["acr"], row["acr_ci"]))


def accuracy_for_quality(methods: Sequence[Method], measure: str, sigma: float, radius: float) -> list[Mark]:
    """Certified accuracy at `radius` and one sigma for all, for the mean `measure` of purified images."""
    accuracy = lambda method, row: _accuracy(method, row, radius)  # noqa: E731
    return _marks(methods, lambda method: _at(method, sigma), measure, accuracy)


def _marks(
    methods: Sequence[Method],
    choose: Callable[[Method], Row],
    measure: str,
    value: Callable[[Method, Row], tuple[float, Sequence[float] | None]],
) -> list[Mark]:
    """A mark for every method whose cost was measured."""
    marks = []
    for method in methods:
        row = choose(method)
        (worth, ends), cost = value(method, row), row[measure]
        if cost:  # one that took no time at all has no place on a logarithmic axis
            marks.append(Mark(method["method"], float(cost), worth, (ends[0], ends[1]) if ends else None))
    return marks


def _at(method: Method, sigma: float) -> Row:
    return next(row for row in method["sigmas"] if row["sigma"] == sigma)


def _accuracy(method: Method, row: Row, radius: float) -> tuple[float, Sequence[float]]:
    at = method["radii"].index(radius)
    return row["accuracy"][at], row["accuracy_ci"][at]
