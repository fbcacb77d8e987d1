import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.schedules import VP, CosineVP, DiscreteVP
from ssni_jax.schedules.vp import cosine_sigmas, discrete_sigmas

H = 2e-4
INSIDE = np.asarray([0.0204, 0.1005, 0.5005])  # between entries of the discrete table
TIMES = np.concatenate(
    [INSIDE, INSIDE + H, INSIDE - H, np.logspace(-6, -2, 50), np.linspace(0.011, 1, 100), [0, np.nan]]
)
PROPER = slice(9, -2)
SCHEDULES = [VP(), DiscreteVP(), CosineVP(1000)]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=["VP", "DiscreteVP", "CosineVP"])


class Seen(NamedTuple):
    sigma: np.ndarray
    slope: np.ndarray
    scale: np.ndarray
    inverse: np.ndarray
    inverse_slope: np.ndarray


@functools.cache
def seen(schedule):
    """All maps of a schedule at TIMES, one compilation."""

    def look(t):
        sigma, slope = jax.jvp(schedule.sigma, (t,), (jnp.ones_like(t),))
        return Seen(sigma, slope, schedule.scale(t), *jax.jvp(schedule.inverse, (sigma,), (jnp.ones_like(t),)))

    return jax.tree.map(np.asarray, jax.jit(look)(TIMES.astype(np.float32)))


def exact_sigma(t, beta_min=0.1, beta_max=20.0):
    """Song et al. 2021, eq. 33, from mean and standard deviation of the scaled state, in float64."""
    log_mean = -0.25 * t**2 * (beta_max - beta_min) - 0.5 * t * beta_min
    return np.sqrt(-np.expm1(2 * log_mean)) / np.exp(log_mean)


def exact_table():
    """sqrt((1 - abar) / abar) of DDPM's 1000 betas, by the cumulative product, in float64."""
    abar = np.cumprod(1 - np.linspace(0.1 / 1000, 20 / 1000, 1000))
    return np.concatenate([[0.0], np.sqrt((1 - abar) / abar)])


def test_continuous_sigma_is_that_of_the_paper():
    np.testing.assert_allclose(seen(SCHEDULES[0]).sigma[PROPER], exact_sigma(TIMES[PROPER]), rtol=2e-6)


def test_other_betas_are_used():
    t = np.float32([0.01, 0.1, 1.0])
    np.testing.assert_allclose(
        VP(beta_min=0.2, beta_max=10.0).sigma(jnp.asarray(t)), exact_sigma(t, 0.2, 10), rtol=2e-6
    )


def test_the_discrete_table_is_ddpms():
    np.testing.assert_allclose(discrete_sigmas(1e-4, 2e-2, 1000), exact_table(), rtol=1e-9)
    steps = jnp.arange(1001, dtype=jnp.float32)
    np.testing.assert_allclose(jax.jit(DiscreteVP().sigma)(steps / 1000), exact_table(), rtol=1e-5)


def test_the_cosine_table_is_that_of_the_paper():
    """Until the last betas are clipped, abar is the squared cosine itself, 1 at step zero."""
    t = np.arange(4001) / 4000
    abar = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    table = cosine_sigmas(4000, 0.008, 0.999)
    inside = slice(0, 3990)
    np.testing.assert_allclose(1 / (1 + table[inside] ** 2), (abar / abar[0])[inside], rtol=1e-9)
    assert 1 - (1 + table[-2] ** 2) / (1 + table[-1] ** 2) == pytest.approx(0.999)


@pytest.mark.parametrize(("step", "sigma"), [(75, 0.255), (100, 0.339), (150, 0.518)])
def test_the_levels_of_diffpure_are_those_of_its_paper(step, sigma):
    assert abs(DiscreteVP().sigma(jnp.asarray(step / 1000)) - sigma) < 5e-4
    assert abs(VP().sigma(jnp.asarray(step / 1000)) - sigma) < 2e-3


@each_schedule
def test_inverse_gives_back_t_however_small(schedule):
    np.testing.assert_allclose(seen(schedule).inverse[PROPER], TIMES[PROPER], rtol=1e-5)


@each_schedule
def test_the_scaled_state_has_variance_one(schedule):
    at = seen(schedule)
    np.testing.assert_allclose((at.scale**2 * (1 + at.sigma**2))[PROPER], 1, rtol=2e-6)


@each_schedule
def test_time_zero_is_no_noise_both_ways(schedule):
    at = seen(schedule)
    assert (at.sigma[-2], at.inverse[-2], at.scale[-2]) == (0, 0, 1)


@each_schedule
def test_sigma_grows_with_t(schedule):
    assert np.all(np.diff(seen(schedule).sigma[PROPER]) > 0)


@each_schedule
def test_the_gradients_are_the_slopes(schedule):
    at = seen(schedule)
    np.testing.assert_allclose(at.slope[:3], (at.sigma[3:6] - at.sigma[6:9]) / (2 * H), rtol=5e-3)
    np.testing.assert_allclose((at.slope * at.inverse_slope)[PROPER], 1, rtol=1e-3)


@each_schedule
def test_the_gradients_at_time_zero_are_finite(schedule):
    assert np.isfinite(seen(schedule).slope[-2]) and np.isfinite(seen(schedule).inverse_slope[-2])


@each_schedule
def test_nan_is_loud(schedule):
    at = seen(schedule)
    assert np.isnan([at.sigma[-1], at.scale[-1], at.inverse[-1]]).all()
