"""Whether a value is what an annotation says."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, Protocol, TypedDict

import numpy as np
import pytest

from ssni_jax.core.annotations import misfit


class Row(TypedDict):
    id: int
    norm: float | None
    note: NotRequired[str]


@pytest.mark.parametrize(
    ("held", "hint"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (np.float32(0.5), float),
        (None, int | None),
        (True, bool),
        ("x", Literal["x", "y"]),
        ((1, 2), tuple[int, ...]),
        ([1, 2], tuple[int, int]),
        ([0.5, None], list[float | None]),
        ({"id": 1, "norm": None, "more": 3}, Row),
        ({"a": 1}, dict[str, int]),
        ({"a": 1}, Mapping[str, Any]),
        (object(), Any),
    ],
)
def test_what_fits(held, hint):
    assert misfit(held, hint, "x") is None


@pytest.mark.parametrize(
    ("held", "hint", "words"),
    [
        (True, int, "x must be a whole number, got True"),
        (1.0, int, "x must be a whole number, got 1.0"),
        ("1", float, "x must be a number, got '1'"),
        (np.zeros(3), float, "x must be a number, got a ndarray"),
        (int, int, "x must be a whole number, got the class int itself"),
        ("z", Literal["x", "y"], 'x must be "x" or "y", got \'z\''),
        ([1, "a"], list[int], r"x\[1\] must be a whole number, got 'a'"),
        ((1,), tuple[int, int], "x must be a tuple of 2 entries"),
        ([{"id": 1}], list[Row], r"x\[0\]\.norm must be a number or None, got nothing"),
        ({"id": 1, "norm": 2, "note": 3}, Row, r"x\.note must be a text, got 3"),
        ({"a": "b"}, dict[str, int], r"x\.a must be a whole number, got 'b'"),
        ([], Row, "x must be a mapping of names to values"),
        (3, list[int], "x must be a list, each entry a whole number, got 3"),
    ],
)
def test_the_first_misfit_is_named_with_its_place(held, hint, words):
    wrong = misfit(held, hint, "x")
    assert wrong is not None
    with pytest.raises(ValueError, match=words):
        raise ValueError(str(wrong))


class Sized(Protocol):
    @property
    def size(self) -> int: ...

    def __call__(self, x): ...


class Costly:
    @property
    def size(self):
        raise AssertionError("it was computed")

    def __call__(self, x):
        return x


class InInit:
    def __init__(self):
        self.size = 3

    def __call__(self, x):
        return x


class Proxy:
    def __getattr__(self, name):
        return 3


@pytest.mark.parametrize("value", [Costly(), InInit(), Proxy()])
def test_a_value_has_the_members_of_a_protocol_without_computing_its_properties(value):
    assert misfit(value, Sized, "x") is None


@pytest.mark.parametrize("value", [3, "x", len, Costly, object()])
def test_a_value_without_a_member_of_a_protocol_does_not_fit(value):
    assert misfit(value, Sized, "x") is not None
