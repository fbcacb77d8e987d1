"""Early stopping keeps the promise of the certificate, and numbers of draws that cannot certify are refused."""

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom, binomtest

from ssni_jax.certify import AlphaSpending, FixedDraws, certify_looks, check_draws, lower_bound, smallest_n

ALPHA, SIGMA, N = 0.05, 1.0, 400
SIMULATED = 2000


def simulate(stopping, p, rng):
    """Certificates of `SIMULATED` images whose class has probability p; looks as the devices would count them."""
    looks = stopping.looks_at(N)
    draws = rng.random((SIMULATED, N)) < p
    totals = np.stack([draws[:, :n].sum(axis=1) for n in looks])
    wanted = np.ones(SIMULATED, bool)
    n, votes = np.zeros((2, SIMULATED, len(looks)), int)
    for index, (until, total) in enumerate(zip(looks, totals, strict=True)):
        n[wanted, index], votes[wanted, index] = until, total[wanted]
        wanted &= ~stopping.is_over(total, np.full(SIMULATED, until), SIGMA, ALPHA / len(looks))
    return n, certify_looks(np.zeros(SIMULATED, int), votes, n, sigma=SIGMA, alpha=ALPHA)


@pytest.mark.parametrize("p", [0.45, 0.5, 0.55, 0.8, 0.97])
@pytest.mark.parametrize(
    "stopping", [FixedDraws(), AlphaSpending(0.6, (25, 50, 100, 200))], ids=lambda v: type(v).__name__
)
def test_of_two_thousand_certifications_no_more_than_alpha_are_wrong(stopping, p):
    """Wrong: a radius above the true one, or the class where it has less than half. More than by chance, that is."""
    _, done = simulate(stopping, p, np.random.default_rng(7))
    claimed = ndtr(done.radius / SIGMA)
    wrong = (done.label == 0) & (claimed > p)
    assert binomtest(int(wrong.sum()), SIMULATED, ALPHA, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize("p", [0.45, 0.5, 0.55, 0.8, 0.97])
def test_the_bound_of_one_look_is_above_the_truth_with_probability_alpha_at_most(p):
    """Exactly, over every number of votes that may come."""
    votes = np.arange(N + 1)
    wrong = lower_bound(votes, np.full(N + 1, N), ALPHA) > p
    assert ALPHA / 2 < binom.pmf(votes[wrong], N, p).sum() <= ALPHA


@pytest.mark.parametrize(
    "stopping", [FixedDraws(), AlphaSpending(0.6, (25, 50, 100, 200))], ids=lambda v: type(v).__name__
)
def test_two_thousand_images_of_any_difficulty_are_covered_with_probability_one_minus_alpha(stopping):
    rng = np.random.default_rng(3)
    p = rng.uniform(0.3, 1.0, SIMULATED)
    _, done = simulate(stopping, p[:, None], rng)
    wrong = (done.label == 0) & (ndtr(done.radius / SIGMA) > p)
    assert 0 < np.mean(wrong) <= ALPHA


def test_looking_often_without_spending_alpha_would_break_the_promise():
    """The same simulation tells a wrong rule from a right one."""
    stopping, p = AlphaSpending(0.0, (25, 50, 100, 200)), 0.5
    draws = np.random.default_rng(7).random((SIMULATED, N)) < p
    naive = [lower_bound(draws[:, :n].sum(axis=1), np.full(SIMULATED, n), ALPHA) for n in stopping.looks_at(N)]
    wrong = int(np.sum(np.max(naive, axis=0) > p))
    assert binomtest(wrong, SIMULATED, ALPHA, alternative="greater").pvalue < 1e-6


def test_an_easy_image_stops_early_at_the_radius_asked_for_and_a_hopeless_one_abstains_early():
    stopping = AlphaSpending(0.6, (50, 100))
    for p, label in ((0.99, 0), (0.2, -1)):
        n, done = simulate(stopping, p, np.random.default_rng(0))
        assert np.mean(n.max(axis=1) < N) > 0.9
        stopped = n.max(axis=1) < N
        assert np.all(done.label[stopped] == label)
        assert label < 0 or np.all(done.radius[stopped] >= 0.6)


def test_fixed_draws_make_one_look_and_never_stop():
    assert FixedDraws().looks_at(100) == (100,)
    assert not FixedDraws().is_over(np.asarray([100]), np.asarray([100]), 1.0, 0.001).any()


@pytest.mark.parametrize(
    ("alpha", "radius", "sigma"), [(0.001, 0.0, 1.0), (0.05, 0.0, 1.0), (0.001, 1.0, 0.5), (0.0001, 2.0, 1.0)]
)
def test_the_smallest_n_certifies_and_one_less_does_not(alpha, radius, sigma):
    n = smallest_n(alpha, radius, sigma)
    assert alpha ** (1 / n) > ndtr(radius / sigma) >= alpha ** (1 / (n - 1))


def test_the_smallest_n_of_the_usual_alpha():
    assert smallest_n(0.001) == math.ceil(math.log(0.001) / math.log(0.5)) == 10


def test_draws_that_could_never_certify_are_refused_with_the_number_that_could():
    check_draws(FixedDraws(), 10, 0.001, 1.0)
    with pytest.raises(ValueError, match=r"^9 draws can never certify .* the smallest number that could is 10\.$"):
        check_draws(FixedDraws(), 9, 0.001, 1.0)
    with pytest.raises(ValueError, match=r"^10 draws .* alpha=0\.0005.* could is 11\.$"):
        check_draws(AlphaSpending(0.0, (10,)), 1000, 0.001, 1.0)


def test_a_radius_out_of_reach_is_refused_with_the_number_that_reaches_it():
    least = smallest_n(0.0005, 1.0, 0.5)
    check_draws(AlphaSpending(1.0, (100,)), least, 0.001, 0.5)
    with pytest.raises(ValueError, match=rf"radius 1 at sigma 0\.5 .* could is {least}\."):
        check_draws(AlphaSpending(1.0, (100,)), least - 1, 0.001, 0.5)
    with pytest.raises(ValueError, match="out of reach"):
        check_draws(AlphaSpending(9.0, (100,)), 1000, 0.001, 1.0)


def test_looks_that_do_not_ascend_before_the_end_are_refused():
    with pytest.raises(ValueError, match="do not ascend"):
        AlphaSpending(0.5, (100, 100))
    with pytest.raises(ValueError, match="does not come before the last of 1000"):
        AlphaSpending(0.5, (1000,)).looks_at(1000)
    with pytest.raises(ValueError, match="radius=-1"):
        AlphaSpending(-1.0)
