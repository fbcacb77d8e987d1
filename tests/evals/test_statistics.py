"""Intervals against their definitions, scipy and published tables."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from ssni_jax.evals.statistics import interval, paired_difference, wilson


def pairs(both, only_a, only_b, neither):
    """0/1 scores of two defences from the four counts of a paired table."""
    a = [1.0] * (both + only_a) + [0.0] * (only_b + neither)
    b = [1.0] * both + [0.0] * only_a + [1.0] * only_b + [0.0] * neither
    return np.array(a), np.array(b)


@pytest.mark.parametrize(("k", "n"), [(1, 10), (7, 10), (45, 64), (511, 512)])
def test_each_end_of_the_exact_interval_leaves_half_the_error_in_its_tail(k, n):
    low, high = interval(k, n, confidence=0.9)
    assert binom.sf(k - 1, n, low) == pytest.approx(0.05)
    assert binom.cdf(k, n, high) == pytest.approx(0.05)


@pytest.mark.parametrize("n", [1, 64])
def test_none_and_all_have_one_end_in_closed_form(n):
    assert interval(0, n) == pytest.approx((0.0, 1 - 0.025 ** (1 / n)))
    assert interval(n, n) == pytest.approx((0.025 ** (1 / n), 1.0))


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (64, 64)])
def test_wilson_of_a_count_is_scipys(k, n):
    assert wilson(k, n) == pytest.approx(tuple(binomtest(k, n).proportion_ci(method="wilson")))


def test_wilson_of_a_fraction_lies_between_its_neighbours_and_holds_the_mean():
    below, between, above = wilson(20, 64), wilson(20.5, 64), wilson(21, 64)
    assert below.low < between.low < above.low
    assert below.high < between.high < above.high
    assert between.low < 20.5 / 64 < between.high


def test_nothing_seen_is_nothing_known():
    assert interval(0, 0) == wilson(0.0, 0) == (0.0, 1.0)
    assert paired_difference(np.zeros(0), np.zeros(0))[2:4] == (-1.0, 1.0)


@pytest.mark.parametrize("method", [interval, wilson])
@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0)])
def test_impossible_counts_and_confidences_are_named(method, k, n, confidence):
    with pytest.raises(ValueError, match="pass"):
        method(k, n, confidence)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((14, 5, 0, 22), 0.011, 0.226),  # Altman et al. 2000, Statistics with Confidence, table 6.2
        ((59, 6, 16, 80), -0.1186, -0.0046),  # Fagerland et al. 2017, Statistical Analysis of Contingency Tables, ch. 8
    ],
)
def test_the_paired_interval_reproduces_published_examples(table, low, high):
    result = paired_difference(*pairs(*table))
    digits = 3 if table[0] == 14 else 4
    assert (round(result.low, digits), round(result.high, digits)) == (low, high)
    assert result.difference == pytest.approx((table[1] - table[2]) / sum(table))
    assert (result.n, result.a_better, result.b_better) == (sum(table), table[1], table[2])


def test_the_paired_test_is_mcnemars_exact_one():
    assert paired_difference(*pairs(50, 9, 1, 4)).p_value == pytest.approx(2 * (1 + 10) / 2**10)
    assert paired_difference(*pairs(60, 0, 0, 4)).p_value == 1.0


def test_swapping_the_defences_mirrors_the_result():
    a, b = np.random.default_rng(0).choice([0, 0.25, 0.5, 1], (2, 40))
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p_value == other.p_value


def test_pairs_that_agree_narrow_the_interval_but_never_to_nothing():
    width = lambda r: r.high - r.low  # noqa: E731
    agreeing = paired_difference(*pairs(40, 4, 4, 16))
    crossing = paired_difference(*pairs(24, 20, 20, 0))
    assert width(agreeing) < width(crossing)
    assert width(paired_difference(*pairs(64, 0, 0, 0))) > 0.05


def test_the_paired_interval_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        hard = rng.random(64)
        a, b = (hard < 0.7).astype(float), (hard + 0.2 * rng.normal(size=64) < 0.6).astype(float)
        result = paired_difference(a, b)
        covered += result.low <= TRUE_DIFFERENCE <= result.high
    assert 0.92 <= covered / 400 <= 0.995


def _true_difference():
    hard, noise = np.random.default_rng(1).random(400_000), np.random.default_rng(2).normal(size=400_000)
    return 0.7 - float(np.mean(hard + 0.2 * noise < 0.6))


TRUE_DIFFERENCE = _true_difference()
