import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest, norm

from ssni_jax.certify import certify, certify_looks, lower_bound, predict


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


def test_the_bound_is_exact_for_a_hundred_thousand_draws_down_to_one_vote_and_up_to_all():
    n = 100_000
    votes = np.asarray([0, 1, 2, 37, 50_000, 50_489, 99_000, n - 1, n])
    found = lower_bound(votes, np.full_like(votes, n), 0.001)
    np.testing.assert_allclose(found[1:], beta.ppf(0.001, votes[1:], n - votes[1:] + 1), rtol=1e-9)
    tails = [binom.sf(k - 1, n, p) for k, p in zip(votes[1:], found[1:], strict=True)]
    np.testing.assert_allclose(tails, 0.001, rtol=1e-7)
    assert found[0] == 0 and found[-1] == pytest.approx(0.001 ** (1 / n), rel=1e-12)


def test_the_radius_at_a_hundred_thousand_unanimous_draws_is_the_papers_ceiling():
    done = certify(counts([0, 100]), counts([0, 100_000]), sigma=0.5, alpha=0.001)
    np.testing.assert_allclose(done.radius, 0.5 * norm.ppf(0.001**1e-5), rtol=1e-12)
    assert 3.80 < done.radius[0] / 0.5 < 3.82


def test_several_looks_take_the_best_bound_at_their_share_of_alpha():
    votes, n = counts([100, 990]), counts([100, 1000])
    bounds = [lower_bound(np.asarray([k]), np.asarray([m]), 0.0005)[0] for k, m in ((100, 100), (990, 1000))]
    done = certify_looks(np.asarray([1]), votes, n, sigma=1.0, alpha=0.001)
    np.testing.assert_allclose(done.radius, norm.ppf(max(bounds)), rtol=1e-12)


def test_a_look_that_was_not_taken_changes_nothing_but_the_share():
    taken = certify_looks(np.asarray([1]), counts([99]), counts([100]), sigma=1.0, alpha=0.0005)
    done = certify_looks(np.asarray([1]), counts([99, 0]), counts([100, 0]), sigma=1.0, alpha=0.001)
    assert done == taken and done.radius > 0
