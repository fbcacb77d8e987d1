"""The front holds what no other method beats, and every method stands at the sigma that its panel states."""

import numpy as np
import pytest

from ssni_jax.journal.certified_rows import summarise_certified
from ssni_jax.report.front import (
    Mark,
    accuracy_for_quality,
    accuracy_for_time,
    common_sigma,
    dominates,
    front,
    radius_for_time,
    stated_radius,
)
from tests.workdirs import certified_record, certified_records

RADII = [0.0, 0.25, 0.5]


def mark_of(name, cost, value):
    return Mark(name, cost, value, None)


@pytest.fixture
def marks():
    rng = np.random.default_rng(0)
    costs = rng.integers(1, 12, 40)  # few values, so that costs and values tie
    return [mark_of(str(i), float(cost), float(cost // 2 + rng.integers(6))) for i, cost in enumerate(costs)]


def test_a_front_holds_no_dominated_mark_and_dominates_all_others(marks):
    best = front(marks)
    assert 1 < len(best) < len(marks)
    assert not any(dominates(a, b) for a in marks for b in best)
    assert all(any(dominates(a, b) for a in best) for b in marks if b not in best)


def test_a_front_costs_more_only_for_more(marks):
    best = front(marks)
    costs, values = [mark.cost for mark in best], [mark.value for mark in best]
    assert costs == sorted(costs)
    assert values == sorted(values)


def test_equal_marks_do_not_beat_each_other():
    assert len(front([mark_of("a", 1, 1), mark_of("b", 1, 1), mark_of("c", 2, 1)])) == 2


def method(name, *rows):
    return summarise_certified(name, [certified_record(i, **row) for i, row in enumerate(rows)], RADII)


def test_time_is_that_of_the_sigma_whose_accuracy_is_shown():
    low = {"sigma": 0.25, "radius": 0.3, "seconds": 0.001}
    high = {"sigma": 1.0, "radius": 0.9, "seconds": 0.008}
    methods = [method("x", low, high)]
    assert [mark.cost for mark in accuracy_for_time(methods, 0.5)] == [pytest.approx(0.008)]
    assert [mark.cost for mark in accuracy_for_time(methods, 0.25)] == [pytest.approx(0.001)]  # equal: the smaller
    assert radius_for_time(methods)[0][1:3] == (pytest.approx(0.008), pytest.approx(0.9))


def test_quality_is_compared_at_one_sigma_that_all_have():
    a = method("a", {"sigma": 0.25}, {"sigma": 0.5, "transport": 5.0})
    b = method("b", {"sigma": 0.5, "transport": 6.0}, {"sigma": 1.0, "radius": 2.0})
    assert common_sigma([a, b], 0.25) == 0.5
    assert [mark.cost for mark in accuracy_for_quality([a, b], "transport", 0.5, 0.25)] == [5.0, 6.0]
    assert common_sigma([method("a", {"sigma": 0.25}), method("b", {"sigma": 0.5})], 0.25) is None


def test_a_method_whose_cost_was_not_measured_has_no_mark():
    methods = [method("a", {"transport": None}), method("b", {})]
    assert [mark.method for mark in accuracy_for_quality(methods, "transport", 0.5, 0.25)] == ["b"]


def test_the_stated_radius_is_one_of_the_table():
    assert stated_radius([0.0, 0.25, 0.5, 0.75]) == 0.5
    assert stated_radius([0.0, 0.25]) == 0.25


def test_intervals_hold_the_marks():
    methods = [summarise_certified("x", certified_records(strength), RADII) for strength in (0.5, 1.5)]
    for mark in (*accuracy_for_time(methods, 0.5), *radius_for_time(methods)):
        assert mark.interval[0] <= mark.value <= mark.interval[1]
