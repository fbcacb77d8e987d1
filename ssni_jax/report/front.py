"""Effectiveness against cost: one mark per certified method, and the Pareto front of the marks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

STATED_RADIUS = 0.5

Method = Mapping[str, Any]  # as summarise_certified makes it
Row = Mapping[str, Any]  # one of its noise levels
Value = tuple[float, Sequence[float] | None]  # with its interval


class Mark(NamedTuple):
    """One method in a plane of cost and value, with the 95 % interval of its value."""

    method: str
    cost: float
    value: float
    interval: tuple[float, float] | None


def front(marks: Sequence[Mark]) -> list[Mark]:
    """The marks that no other mark dominates, the cheapest first."""
    best = [mark for mark in marks if not any(dominates(other, mark) for other in marks)]
    return sorted(best, key=lambda mark: mark.cost)


def dominates(a: Mark, b: Mark) -> bool:
    """Whether `a` costs no more, is worth no less, and differs."""
    return a.cost <= b.cost and a.value >= b.value and (a.cost, a.value) != (b.cost, b.value)


def stated_radius(radii: Sequence[float], wanted: float = STATED_RADIUS) -> float:
    """The largest of `radii` that is not above the wanted one."""
    return max((radius for radius in radii if radius <= wanted), default=0.0)


def common_sigma(methods: Sequence[Method], radius: float) -> float | None:
    """Of the noise levels that every method has, the one of highest mean accuracy at `radius`; None without any."""

    def total(sigma: float) -> float:
        return sum(_accuracy(method, _row_at(method, sigma), radius)[0] for method in methods)

    shared = set.intersection(*({row["sigma"] for row in method["sigmas"]} for method in methods))
    return max(sorted(shared), key=total, default=None)


def accuracy_for_time(methods: Sequence[Method], radius: float) -> list[Mark]:
    """Certified accuracy at `radius` with the best sigma of each method, against its seconds at that sigma."""
    rows = [_row_at(method, method["envelope"][method["radii"].index(radius)]["sigma"]) for method in methods]
    pairs = zip(methods, rows, strict=True)
    return _marks([(method, row, _accuracy(method, row, radius)) for method, row in pairs], "seconds")


def radius_for_time(methods: Sequence[Method]) -> list[Mark]:
    """Largest average certified radius over sigma of each method, against its seconds at that sigma."""
    rows = [max(method["sigmas"], key=lambda row: row["acr"]) for method in methods]
    pairs = zip(methods, rows, strict=True)
    return _marks([(method, row, (row["acr"], row["acr_ci"])) for method, row in pairs], "seconds")


def accuracy_for_quality(methods: Sequence[Method], measure: str, sigma: float, radius: float) -> list[Mark]:
    """Certified accuracy at `radius` and one sigma for all methods, against the mean `measure` of purified images."""
    rows = [(method, _row_at(method, sigma)) for method in methods]
    return _marks([(method, row, _accuracy(method, row, radius)) for method, row in rows], measure)


def _marks(standings: Sequence[tuple[Method, Row, Value]], measure: str) -> list[Mark]:
    """One mark per method whose cost was measured and is above zero: a logarithmic axis has no place for zero."""
    return [
        Mark(method["method"], float(row[measure]), value, (ends[0], ends[1]) if ends else None)
        for method, row, (value, ends) in standings
        if row[measure]
    ]


def _row_at(method: Method, sigma: float) -> Row:
    return next(row for row in method["sigmas"] if row["sigma"] == sigma)


def _accuracy(method: Method, row: Row, radius: float) -> Value:
    index = method["radii"].index(radius)
    return row["accuracy"][index], row["accuracy_ci"][index]
