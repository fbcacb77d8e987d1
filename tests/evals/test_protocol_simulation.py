"""A randomized defence whose accuracy is known: Gaussian noise before a linear classifier of two classes.

Where the margin of an image is u standard deviations of the noise, a draw is right with probability Phi(u). Over the
images u is normal, so that every accuracy of the protocol has a closed form, up to an integral over one variable. With
two labels and no invalid draw, plurality and majority are the same vote.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.dist import make_mesh
from ssni_jax.evals.prediction import make_predict
from ssni_jax.evals.protocol import mean_of_draws, wins_majority, wins_plurality, withstands
from ssni_jax.evals.statistics import interval, wilson
from ssni_jax.journal.rows import summarise
from ssni_jax.purify import predictor
from ssni_jax.purify.predictors import Predictor
from tests.kit import images, keys

N_SIMULATIONS, N_IMAGES, N_DRAWS = 500, 200, 10
N_QUANTILES = 20_000
COVERED = 463  # of 500 intervals of 95 %: as many are reached with a probability of 0.99
WRONG, RIGHT = 0, 1
SUBMISSIONS = (1, 2, 5, 9, N_DRAWS)


class Margins(NamedTuple):
    """Mean and standard deviation over the images, in standard deviations of the noise."""

    mean: float
    std: float


POPULATIONS = {
    "mixed": Margins(0.8, 1.2),
    "all or nothing": Margins(0.5, 8.0),
    "alike": Margins(0.6, 0.05),
    "nearly all right": Margins(3.0, 1.0),
}


class Judgement(NamedTuple):
    """A score of one image from its draws, its expectation given Phi(u), and whether its interval is Wilson's."""

    score: object
    expected: object
    is_fractional: bool


def submissions(m):
    return Judgement(lambda draws: withstands(draws, RIGHT, m), lambda p: p**m, m < N_DRAWS)


def vote(wins):
    return Judgement(lambda draws: wins(draws, RIGHT), lambda p: binom.sf(N_DRAWS // 2, N_DRAWS, p), False)


JUDGEMENTS = {
    "mean": Judgement(lambda draws: mean_of_draws(draws, RIGHT), lambda p: p, True),
    **{f"{m} submissions": submissions(m) for m in SUBMISSIONS},
    "plurality": vote(wins_plurality),
    "majority": vote(wins_majority),
}
FIRST, *OTHERS = POPULATIONS
both = pytest.mark.parametrize(
    "population", [FIRST, *(pytest.param(other, marks=pytest.mark.slow) for other in OTHERS)]
)
every = pytest.mark.parametrize("name", JUDGEMENTS)


@functools.cache
def n_right(population):
    """How many draws of every image are right, in every simulation."""
    rng, margins = np.random.default_rng(0), POPULATIONS[population]
    u = rng.normal(margins.mean, margins.std, (N_SIMULATIONS, N_IMAGES))
    return np.sum(rng.random((*u.shape, N_DRAWS)) < norm.cdf(u)[..., None], axis=-1)


def draws(k):
    return [RIGHT] * k + [WRONG] * (N_DRAWS - k)


def scores(name, counts):
    """The score of each image, by the protocol, from how many of its draws are right."""
    return np.array([float(JUDGEMENTS[name].score(draws(k))) for k in range(N_DRAWS + 1)])[counts]


def truth(name, population):
    """The expected score of a random image: its mean over the quantiles of the margins."""
    quantiles = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
    return float(np.mean(JUDGEMENTS[name].expected(norm.cdf(norm.ppf(quantiles, *POPULATIONS[population])))))


def ends(total, is_fractional):
    """The interval that tables show, for a sum of scores over the images."""
    return wilson(total, N_IMAGES) if is_fractional else interval(round(total), N_IMAGES)


@both
def test_the_mean_accuracy_is_phi_of_margin_over_noise(population):
    margins = POPULATIONS[population]
    closed = norm.cdf(margins.mean / np.hypot(1, margins.std))
    assert truth("mean", population) == pytest.approx(closed, abs=1e-5)


@every
@both
def test_every_judgement_is_unbiased(population, name):
    found = scores(name, n_right(population)).ravel()
    error = max(np.std(found), 1e-3) / np.sqrt(found.size)
    assert abs(np.mean(found) - truth(name, population)) < 4 * error


@every
@both
def test_intervals_of_95_percent_cover_the_truth(population, name):
    totals = np.sum(scores(name, n_right(population)), axis=1).tolist()
    known = truth(name, population)
    intervals = {total: ends(total, JUDGEMENTS[name].is_fractional) for total in set(totals)}
    assert sum(intervals[total][0] <= known <= intervals[total][1] for total in totals) >= COVERED


def test_tables_show_these_numbers():
    counts = n_right("mixed")[0]
    row = summarise("toy", [record(id, draws(k)) for id, k in enumerate(counts)])
    curve = {f"{point['m']} submissions": (point["accuracy"], point["accuracy_ci"]) for point in row["resubmission"]}
    shown = {
        "mean": "robust",
        "plurality": "robust_vote",
        "majority": "robust_majority",
        "10 submissions": "robust_worst",
    }
    for name, judgement in JUDGEMENTS.items():
        total = float(np.sum(scores(name, counts)))
        expected = total / N_IMAGES, list(ends(total, judgement.is_fractional))
        if name in shown:
            assert (row[shown[name]], row[f"{shown[name]}_ci"]) == expected
        assert curve.get(name, expected) == expected


def record(id, draws):
    """What the journal holds of one image, as far as these numbers need it."""
    clean = {"clean_label": RIGHT, "clean_draws": [RIGHT], "clean_t": None, "clean_norm": None, "clean_nfe": 0.0}
    return {"id": id, "label": RIGHT, "experiment": "", "seconds": 0.0, "draws": draws, **clean}


@pytree
class Noisy(Predictor):
    """Two logits, -s and s, for s = <direction, x - 0.5 + noise n>."""

    direction: jax.Array
    noise: float = 0.1

    def trace(self, keys, x, save=None):
        s = jnp.sum(self.direction * (x - 0.5 + self.noise * normal_like(keys, x)), axis=(1, 2, 3))
        return predictor(lambda x: jnp.stack([-s, s], axis=1)).trace(keys, x)


def test_fresh_draws_of_the_defence_are_bernoulli_draws():
    n, n_draws = 64, 400
    direction = jnp.asarray(np.random.default_rng(1).normal(size=(4, 4, 1)), jnp.float32)
    defence, x = Noisy(direction), images(n, shape=(4, 4, 1))
    margin = np.sum(np.asarray(direction) * (np.asarray(x) - 0.5), axis=(1, 2, 3))
    p = norm.cdf(margin / (defence.noise * np.linalg.norm(direction)))
    drawn = jax.jit(jax.vmap(lambda k: fold(keys(n), k)))(jnp.arange(n_draws)).ravel()
    logits = make_predict(make_mesh(), n_slots=4)(defence, drawn, jnp.tile(x, (n_draws, 1, 1, 1))).logits
    wins = np.sum(np.argmax(logits, axis=1).reshape(n_draws, n) == RIGHT, axis=0)
    variance = n_draws * p * (1 - p)
    is_random = variance > 1
    assert np.sum(is_random) > n / 3
    # The sum of squares of n standard normal errors is n, give or take sqrt(2 n).
    squares = np.square(wins - n_draws * p)[is_random] / variance[is_random]
    assert abs(np.sum(squares) - len(squares)) < 4 * np.sqrt(2 * len(squares))
    assert np.all(np.abs(wins - n_draws * p)[~is_random] <= 8)
    together = [RIGHT] * int(np.sum(wins)) + [WRONG] * int(n * n_draws - np.sum(wins))
    assert abs(mean_of_draws(together, RIGHT) - np.mean(p)) < 4 * np.sqrt(np.sum(variance)) / (n * n_draws)
    for m in SUBMISSIONS:
        curve = [withstands([RIGHT] * k + [WRONG] * (n_draws - k), RIGHT, m) for k in wins.tolist()]
        error = m * np.sqrt(np.sum(p ** (2 * m - 2) * p * (1 - p) / n_draws)) / n  # of p^m for the error of p
        assert abs(np.mean(curve) - np.mean(p**m)) < 4 * error
