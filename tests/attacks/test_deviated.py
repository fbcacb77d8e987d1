import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Deviated, Objective
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.save_at import SaveAt
from ssni_jax.purify import Constant, Defense, Purifier, Round, Vote, predictor
from ssni_jax.schedules import VP, Strided
from ssni_jax.solvers import Euler
from tests.kit import SHAPE, Gaussian, Linear, images, keys, recipes, run, two_modes

B, N = 6, 5
X, Y = images(B), jnp.arange(B) % 3
OTHER = 2 * images(B, seed=1) - 1
CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 3)).astype(np.float32))


def defended(denoise, repeats=1):
    rounds = (Round(Constant(0.1), Strided(N, 0.1), Euler(), repeats=repeats),)
    return Defense(Purifier(denoise, VP(), rounds), CLASSIFY)


@pytree
class Known:
    """A denoiser that knows the image."""

    def __call__(self, x, sigma):
        return 0 * x + OTHER


@jax.jit
def extra(predict, keys, loss=Deviated()):
    """What the deviation adds to the loss of scores."""
    trace = predict.trace(keys, X, loss.save)
    return loss(trace, Y) - loss.loss(trace, Y)


def test_the_deviation_is_that_of_the_probability_flow_from_the_forward_process():
    """One walk by hand: of five steps the second and the fifth are sampled, and Euler's state is linear in x."""
    defense = defended(Gaussian())
    sigma = Strided(N, 0.1)(VP(), jnp.full(B, 0.1))
    before = 2 * X - 1
    noised = 2 * run(defense.purify, keys(B), X).noised - 1
    state, distances = noised, []
    for hi, lo in zip(sigma[:-1, 0], sigma[1:, 0], strict=True):
        forward = before + hi / sigma[0, 0] * (noised - before)
        distances.append(jnp.sum((forward - state) ** 2, axis=(1, 2, 3)))
        state = state + (lo - hi) * (state - Gaussian()(state, jnp.full(B, hi))) / hi
    np.testing.assert_allclose(distances[0], 0, atol=1e-9)
    np.testing.assert_allclose(extra(defense, keys(B)), (distances[1] + distances[4]) / 2, rtol=1e-3)
    np.testing.assert_allclose(extra(defense, keys(B), Deviated(weight=3.0)), 3 * extra(defense, keys(B)), rtol=1e-4)


@pytest.mark.slow
def test_a_later_repeat_is_compared_with_its_own_forward_process():
    """The second repeat begins at the image that the denoiser knows, and its reverse process deviates by nothing."""
    sigma = Strided(N, 0.1)(VP(), jnp.full(1, 0.1))[:, 0]
    shares = jnp.asarray([1 - sigma[1] / sigma[0], 1 - sigma[4] / sigma[0]])
    first = jnp.mean(shares**2) * jnp.sum((OTHER - (2 * X - 1)) ** 2, axis=(1, 2, 3))
    for repeats in (1, 2):
        np.testing.assert_allclose(extra(defended(Known(), repeats), keys(B)), first / repeats, rtol=1e-3)


NO_ROUNDS = {"bare": predictor(CLASSIFY), "no rounds": Defense(recipes()["unpurified"], CLASSIFY)}


@pytest.mark.parametrize("predict", NO_ROUNDS.values(), ids=NO_ROUNDS)
def test_without_rounds_the_deviation_is_zero(predict):
    np.testing.assert_array_equal(extra(predict, keys(B)), 0)


@pytest.mark.slow
def test_a_vote_averages_the_deviation_over_its_draws():
    defense = defended(two_modes())
    single = [extra(defense, fold(keys(B), i)) for i in range(2)]
    assert jnp.all(single[0] != single[1])
    np.testing.assert_allclose(extra(Vote(defense, 2), keys(B)), sum(single) / 2, rtol=1e-3)


@pytest.mark.slow
def test_steps_of_length_zero_do_not_count():
    """Half the time in the same step size is half the steps: the mean is over those, as in the shorter grid."""
    short = dataclasses.replace(defended(two_modes()).purify.rounds[0], level=Constant(0.04))
    tight = dataclasses.replace(short, grid=Strided(2, 0.04))
    of = [extra(Defense(Purifier(two_modes(), VP(), (round,)), CLASSIFY), keys(B)) for round in (short, tight)]
    np.testing.assert_allclose(*of, rtol=1e-4)
    assert jnp.all(of[0] > 1e-4)


@pytest.mark.slow
def test_the_gradient_is_the_slope():
    """Of the whole loss, through a soft t, two rounds and the noise that both processes share."""
    objective = Objective(loss=Deviated(weight=5.0)).of(Defense(recipes()["ssni_n rounds"].soft(), CLASSIFY))
    value = jax.jit(lambda x: objective.evaluate(keys(B), x, Y).loss[0])
    direction, h = normal_like(keys(B, seed=8), X), 2e-3
    slope = (value(X + h * direction) - value(X - h * direction)) / (2 * h)
    ascent = jnp.sum(jax.jit(objective.gradient)(keys(B), X, Y) * direction, axis=(1, 2, 3))
    np.testing.assert_allclose(ascent, slope, atol=2e-2 * float(jnp.max(jnp.abs(slope))))


def test_a_third_of_the_steps_is_the_middle_one_of_every_three():
    third = SaveAt(lambda moment: moment.step, every=3)
    assert [list(third.chosen(n)) for n in (1, 2, 5, 9)] == [[], [1], [1, 4], [1, 4, 7]]
    assert list(SaveAt(lambda moment: moment.step).chosen(3)) == [0, 1, 2]
    assert list(SaveAt(lambda moment: moment.step, ()).chosen(3)) == []


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(ValueError, match="got every=0: 3 is published"):
        Deviated(every=0)
    with pytest.raises(ValueError, match="saves no states, got Deviated: use CrossEntropy"):
        Deviated(Deviated())
    with pytest.raises(ValueError, match="got every=0"):
        SaveAt(lambda moment: moment.step, every=0)
