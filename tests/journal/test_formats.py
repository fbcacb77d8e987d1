"""Numbers as people read them."""

import pytest

from ssni_jax.journal import formats
from ssni_jax.journal.formats import DASH, MINUS


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, DASH), (0.0, "0"), (1.0, "1.00"), (0.4056, "0.406"), (40.61, "40.6"), (343.4, "343"), (999.7, "1000"),
     (12345.6, "12346"), (1.5e-7, "1.50e-07"), (-0.5, f"{MINUS}0.500")],
)  # fmt: skip
def test_a_number_has_three_digits(value, text):
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("ids", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2, 5], f"0{DASH}2, 5"), (list(range(0, 20, 2)), "0, 2, 4, 6, 8, 10 and 4 more")],
)
def test_ids_are_shown_as_ranges(ids, text):
    assert formats.ranges(ids) == text


@pytest.mark.parametrize(("p", "text"), [(1.0, "1"), (0.999, "1"), (0.0625, "0.062"), (0.00001, "< 0.0001")])
def test_a_p_value_has_two_digits_or_a_bound(p, text):
    assert formats.p_value(p) == text


def test_nested_values_become_dotted_keys():
    value = {"seeds": {"attack": 0}, "devices": ["cpu"] * 8, "sizes": [1, 2], "nets": [{"hash": "ab"}], "empty": {}}
    pairs = [("seeds.attack", "0"), ("devices", "8 x cpu"), ("sizes", "[1, 2]")]
    assert formats.flat(value) == [*pairs, ("nets[0].hash", "ab"), ("empty", "{}")]


def test_a_described_value_reads_as_an_expression():
    value = {"kind": "Pgd", "threat": {"kind": "Linf", "eps": 8 / 255}, "sizes": [1, 0.5], "loss": {"kind": "Margin"}}
    assert formats.compact(value) == "Pgd(threat=Linf(eps=0.03137), sizes=[1, 0.5], loss=Margin())"


def test_a_difference_carries_its_sign():
    assert formats.points(-0.031) == f"{MINUS}3.1"
    assert formats.points_interval(-0.031, 0.09) == f"[{MINUS}3.1, +9.0]"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, DASH), (2e-5, "20 µs"), (0.005, "5 ms"), (0.1, "0.1 s"), (30.0, "30 s"), (0.0, "0 µs")]
)
def test_a_duration_has_the_unit_people_would_use(seconds, text):
    assert formats.duration(seconds) == text
