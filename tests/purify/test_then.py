"""A predictor after the purifier: DiffSmooth's local smoothing."""

import jax
import numpy as np
import pytest

from ssni_jax.core.rng import fold
from ssni_jax.evals.network_calls import prediction_calls
from ssni_jax.purify import Noisy, Then, Vote
from ssni_jax.purify.predictors import PREDICTION
from ssni_jax.recipes import diffsmooth
from tests.kit import SHAPE, Gaussian, Linear, images, keys, over_n

B = 4
CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 5)).astype(np.float32))
SMOOTHED = diffsmooth(Gaussian(), CLASSIFY, sigma=0.2, local=0.1, n=3)


@pytest.fixture(scope="module")
def trace():
    return jax.jit(lambda predict: predict.trace(keys(B), images(B)))(SMOOTHED)


def test_one_purified_image_is_voted_on_under_noise_of_its_own(trace):
    inside = jax.jit(Vote(Noisy(CLASSIFY, 0.1), 3).trace)(fold(keys(B), PREDICTION), trace.image)
    np.testing.assert_allclose(trace.logits, inside.logits, rtol=1e-5)
    np.testing.assert_allclose(trace.scores, inside.scores, rtol=1e-5)


def test_the_local_votes_are_no_draws_of_the_purification(trace):
    """A draw to be judged is a whole prediction, so that a vote over this predictor is one over purifications."""
    assert trace.labels is None and SMOOTHED.n_votes == 1 and np.all(trace.n_calls == 1)


def test_the_classifier_is_counted_once_a_local_vote_and_the_denoiser_once():
    assert tuple(prediction_calls(SMOOTHED)) == (1, 3)
    assert tuple(prediction_calls(Vote(SMOOTHED, 2))) == (2, 6)


def test_smoothing_and_sample_specific_noise_reach_the_purifier():
    assert SMOOTHED.at_noise(0.3).purify.rounds[0].level.t_star > SMOOTHED.purify.rounds[0].level.t_star
    assert isinstance(SMOOTHED.undefended(), Vote) and isinstance(SMOOTHED.ragged(), Then)
    with pytest.raises(ValueError, match="belongs to network"):
        SMOOTHED.map_purify(over_n)
