"""Flow matching on Gaussian data, where velocity, denoiser and loss are known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.arrays import over
from ssni_jax.networks import FlowCoefficients, Preconditioned
from ssni_jax.recipes import flowpure
from ssni_jax.training import FlowMatchingLoss
from tests.kit import Gaussian, images, keys

N, STD, NOISE = 512, 0.5, 0.6


def velocity(x, noise_label, **conditions):
    """E[x_1 - x_0 | x_t] for pixels from N(0, STD^2)."""
    rest = over(1 - noise_label, x)
    return -rest * NOISE**2 / (STD**2 + (rest * NOISE) ** 2) * x


def test_a_velocity_network_over_its_coefficients_is_the_denoiser():
    x, sigma = 2 * images(3) - 1, jnp.asarray([0.0, 0.2, NOISE])
    denoised = Preconditioned(velocity, FlowCoefficients(NOISE))(x, sigma)
    np.testing.assert_allclose(denoised, Gaussian(STD)(x, sigma), atol=1e-6)


def test_the_loss_of_the_exact_velocity_is_its_expectation():
    """The integral over t of std^2 s^2 / (std^2 + (1 - t)^2 s^2), s being the noise at t = 0."""
    x0 = STD * np.random.RandomState(0).randn(N, 8, 8, 1)
    batch = {"image": jnp.asarray((x0 + 1) / 2, jnp.float32)}
    loss = jax.jit(lambda keys: FlowMatchingLoss(FlowCoefficients(NOISE))(velocity, keys, batch)[0])(keys(N))
    np.testing.assert_allclose(loss, STD * NOISE * np.arctan(NOISE / STD), rtol=0.03)


def test_flowpure_takes_eulers_steps_of_the_flow():
    """x + v dt in equal steps of time, from the time at which the noise is the purifier's."""
    purifier = flowpure(Preconditioned(velocity, FlowCoefficients(NOISE)), sigma=0.15, n_steps=3)
    purified = jax.jit(lambda x: purifier.run(keys(2), x))(images(2))
    x, times = 2 * purified.noised - 1, np.linspace(1 - 0.3 / NOISE, 1, 4)
    for t, later in itertools.pairwise(times):
        x = x + (later - t) * velocity(x, jnp.full(2, t, jnp.float32))
    np.testing.assert_allclose(2 * purified.image - 1, x, atol=1e-5)
