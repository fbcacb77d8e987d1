"""Optimisers of the image against NumPy and the optima of Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.save_at import SaveAt
from ssni_jax.purify import Purifier
from ssni_jax.recipes import likelihood_maximization, scoreopt_n, scoreopt_o
from ssni_jax.solvers import Around, Between, DenoisingError, Optimise, solve
from tests.kit import Gaussian, images, keys, run, two_modes

B, STD, SIGMA, N_STEPS = 3, 0.5, 0.4, 80
RATE = 0.05


def optimised_in_numpy(sigmas):
    """Adam in float64 with the gradient of |D(x + s n) - x|^2 written out: 2 (a - 1) ((a - 1) x + a s n)."""
    x = np.asarray(2 * images(B) - 1, np.float64)
    mean = square = np.zeros_like(x)
    for i in range(N_STEPS):
        drawn = fold(keys(B), i)
        s = np.asarray(sigmas(fold(drawn, 0), jnp.full(B, SIGMA)), np.float64)[:, None, None, None]
        a = STD**2 / (STD**2 + s**2)
        slope = 2 * (a - 1) * ((a - 1) * x + a * s * np.asarray(normal_like(fold(drawn, 1), images(B))))
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        x = x - RATE * mean / (1 - 0.9 ** (i + 1)) / (np.sqrt(square / (1 - 0.999 ** (i + 1))) + 1e-8)
    return x


@pytest.fixture(scope="module")
def likelier():
    """Images after many steps of LM on Gaussian data."""
    step, levels = Optimise(DenoisingError(Around(0.2)), RATE), jnp.linspace(SIGMA, 0.0, N_STEPS + 1)
    levels = jnp.tile(levels[:, None], B)
    begun = lambda x: step.begin(x, x, levels[0])  # noqa: E731
    walk = jax.jit(lambda x: step.image(solve(keys(B), Gaussian(STD), step, begun(x), levels)))
    return walk(2 * images(B) - 1)


def test_steps_of_likelihood_maximisation_are_adams_on_the_written_out_gradient(likelier):
    np.testing.assert_allclose(likelier, optimised_in_numpy(Around(0.2)), atol=1e-4)


def test_on_gaussian_data_the_likeliest_image_is_the_mean(likelier):
    """The discrepancy expected over noise is (a - 1)^2 |x|^2 and a constant, least at zero."""
    before, after = (float(np.mean(np.abs(x))) for x in (2 * images(B) - 1, likelier))
    assert before > 0.4 and after < 0.2 * before


def test_scoreopt_n_ends_where_the_noise_is_found_and_nothing_of_a_gaussian_image_is_left():
    """(x - D(x)) / s = n at x = n (std^2 + s^2) / s, where the estimate is std^2 n / s."""
    purified = run(scoreopt_n(Gaussian(STD), sigma=SIGMA, n_steps=N_STEPS, learning_rate=0.1), keys(B), images(B))
    noise = 2 * (purified.noised - images(B)) / SIGMA
    np.testing.assert_allclose(2 * purified.image - 1, STD**2 / SIGMA * noise, atol=0.02)
    assert jnp.all(purified.n_calls == 3 * N_STEPS + 1)


def test_the_gradient_through_several_steps_is_that_of_finite_differences():
    """In float64; second derivatives of a denoiser that is not linear, and both of Adam's moments, are in it."""
    with jax.enable_x64(True):
        purifier = likelihood_maximization(jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), two_modes()), n_steps=3)
        x = jnp.asarray(images(2), jnp.float64)
        weights = jnp.linspace(0.5, 1.5, x.size).reshape(x.shape)
        total = jax.jit(lambda x: jnp.sum(jnp.sin(4 * purifier(keys(2), x)) * weights))
        slope, direction = jax.jit(jax.grad(total))(x), jnp.cos(3 * jnp.arange(x.size)).reshape(x.shape)
        measured = (total(x + 1e-6 * direction) - total(x - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose(jnp.sum(slope * direction), measured, rtol=1e-6)


def test_levels_lie_around_that_of_the_round_or_between_two_whatever_it_is():
    level = jnp.asarray([0.1, 0.5, 2.0])
    around, between = Around(0.2)(keys(3), level), Between(0.4, 0.6)(keys(3), level)
    assert np.all(np.abs(np.asarray(around / level) - 1) <= 0.2) and len(set(np.asarray(around / level).tolist())) == 3
    assert np.all((np.asarray(between) >= 0.4) & (np.asarray(between) <= 0.6))


def test_scoreopt_o_draws_its_levels_a_tenth_around_its_own():
    (only,) = scoreopt_o(Gaussian()).rounds
    assert only.step.discrepancy.sigmas.spread == pytest.approx(0.1 / 0.25) and only.grid.n_steps == 20


@pytest.mark.parametrize("purifier", [likelihood_maximization(Gaussian()), scoreopt_n(Gaussian())], ids=["lm", "n"])
def test_smoothing_noise_and_a_look_inside_are_refused(purifier: Purifier):
    with pytest.raises(ValueError, match=r"^smoothing gives the first round .*, which Optimise does not take away: "):
        purifier.at_noise(0.25)
    with pytest.raises(ValueError, match=r"^The states of Optimise have no noise level .*: use a loss that "):
        jax.eval_shape(lambda x: purifier.run(keys(B), x, SaveAt(lambda moment: moment.x0)), images(B))
