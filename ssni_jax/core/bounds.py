"""Bounds of a field, stated where it is declared and checked where its value is built."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LARGEST_INT = 2**31  # JAX takes larger ones only as floating-point numbers
Hint = Callable[[float], str]  # from the value that was refused to the remedy, without a full stop


class Bounds(NamedTuple):
    """The numbers that a field may have; `above` and `below` leave the end itself out."""

    low: int | float
    high: int | float
    above: bool
    below: bool
    hint: Hint | None

    def admit(self, value: float) -> bool:
        """Whether a number is finite and inside."""
        is_high = value > self.low if self.above else value >= self.low
        is_low = value < self.high if self.below else value <= self.high
        return math.isfinite(value) and is_high and is_low

    def __str__(self) -> str:
        if math.isinf(self.high):
            return "be a number" if math.isinf(self.low) else f"be {'above' if self.above else 'at least'} {self.low:g}"
        low, high = f"{self.low:g}", f"{self.high:g}"
        if self.above or self.below:
            words = ("above" if self.above else "at least"), ("below" if self.below else "at most")
            return f"be {words[0]} {low} and {words[1]} {high}"
        return f"lie between {low} and {high}"


def bounded(
    low: int | float = -math.inf,
    high: int | float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    hint: Hint | None = None,
    **field: Any,
) -> Any:
    """A dataclass field whose number must lie between `low` and `high`, ends included unless `above` or `below`."""
    return dataclasses.field(metadata={"bounds": Bounds(low, high, above, below, hint)}, **field)


def check_bounds(value: Any) -> None:
    """Refuses a field that is no number or outside its bounds, by name; None, arrays and traced numbers pass."""
    for name, bounds in _bounds_of(type(value)).items():
        check_number(name, getattr(value, name), bounds)


def check_number(name: str, number: Any, bounds: Bounds) -> None:
    """Refuses one value as `check_bounds` refuses a field."""
    if number is None or (hasattr(number, "shape") and not isinstance(number, np.generic)):
        return
    if isinstance(number, bool) or not isinstance(number, int | float | np.number):
        raise ValueError(f"{name} must be a number, got {number!r}.")
    if isinstance(number, int) and abs(number) >= LARGEST_INT:
        raise ValueError(f"{name} must be a floating-point number where it is this large, got {number}.")
    if not bounds.admit(float(number)):
        problem = f"{name} must {bounds}, got {number:g}"
        text = problem if bounds.hint is None else f"{problem}: {bounds.hint(float(number))}"
        raise ValueError(text if text.endswith("?") else f"{text}.")


@functools.cache
def _bounds_of(kind: type) -> dict[str, Bounds]:
    return {field.name: field.metadata["bounds"] for field in dataclasses.fields(kind) if "bounds" in field.metadata}


def as_pixels(value: float) -> str:
    """The remedy for a radius or step size in units of 0 to 255."""
    if not 1 < value <= 255:
        return "images have pixels from 0 to 1, so give for example 8/255"
    return f"did you mean {value:g}/255?"


def as_share(value: float) -> str:
    """The remedy for a time in steps of a schedule of a thousand."""
    if not 1 < value <= 1000:
        return "it is a share of the schedule, for example 0.1"
    return f"it is a share of the schedule, did you mean {value / 1000:g} ({value:g} of 1000 steps)?"


SHARE = Bounds(0, 1, above=False, below=False, hint=as_share)
"""Of times on a schedule that ends at 1."""
