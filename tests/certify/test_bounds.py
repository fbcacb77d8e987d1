import numpy as np
import pytest
from scipy.stats import beta, binomtest, norm

from ssni_jax.certify import certify, lower_bound, predict


def counts(*rows):
    return np.asarray(rows, np.int64)


def test_the_bound_leaves_alpha_of_the_binomial_above_it():
    """Its definition: with that probability, as many votes or more come up with probability alpha."""
    votes, n = np.asarray([1, 40, 99]), np.asarray([100, 100, 100])
    found = lower_bound(votes, n, 0.01)
    tails = [binomtest(int(k), 100, p, alternative="greater").pvalue for k, p in zip(votes, found, strict=True)]
    np.testing.assert_allclose(tails, 0.01, rtol=1e-9)
    np.testing.assert_allclose(found, beta.ppf(0.01, votes, n - votes + 1), rtol=1e-12)


def test_no_vote_is_bounded_by_zero_and_all_votes_by_the_root_of_alpha():
    n = np.asarray([50, 50])
    np.testing.assert_allclose(lower_bound(np.asarray([0, 50]), n, 0.001), [0, 0.001 ** (1 / 50)], rtol=1e-12)


def test_a_certificate_is_sigma_times_the_normal_quantile_of_the_bound():
    done = certify(counts([3, 97]), counts([10, 990]), sigma=0.25, alpha=0.001)
    bound = lower_bound(np.asarray([990]), np.asarray([1000]), 0.001)
    assert done.label == 1
    np.testing.assert_allclose(done.radius, 0.25 * norm.ppf(bound), rtol=1e-12)


def test_the_class_is_chosen_by_the_selection_draw_alone():
    """Choosing it by the estimation draw would spend its confidence twice; here the chosen class abstains."""
    done = certify(counts([97, 3]), counts([10, 990]), sigma=0.25)
    assert done.label == -1 and done.radius == 0


def test_a_bound_below_one_half_abstains_and_a_draw_without_any_vote_too():
    done = certify(counts([60, 40], [99, 1]), counts([52, 48], [0, 100]), sigma=1.0)
    np.testing.assert_array_equal(done.label, -1)
    np.testing.assert_array_equal(done.radius, 0.0)


@pytest.mark.parametrize(("first", "second"), [(50, 50), (60, 40), (66, 34), (67, 33), (70, 30), (100, 0)])
def test_a_prediction_abstains_where_a_fair_coin_explains_the_lead(first, second):
    is_chance = binomtest(first, first + second, 0.5).pvalue > 0.001
    assert predict(counts([second, 0, first]), alpha=0.001) == (-1 if is_chance else 2)


def test_both_answers_occur_among_those_predictions():
    assert predict(counts([60, 40]))[0] == -1 and predict(counts([70, 30]))[0] == 0


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_an_alpha_that_is_no_probability_of_error_is_refused(alpha):
    with pytest.raises(ValueError, match=f"alpha={alpha}"):
        certify(counts([1, 9]), counts([1, 9]), sigma=1.0, alpha=alpha)
