"""Steps around another step: churn adds what the paper says, and the ring holds what it should and moves the rest."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify.guides.guided import WithReference
from ssni_jax.solvers import Churned, Euler, Ringed
from tests.kit import Gaussian, called, images, keys

normal = jax.tree_util.Partial(normal_like)

B, SIDE = 32, (8, 8, 1)
REFERENCE = 2 * np.asarray(images(B, shape=SIDE)) - 1
NOISE = np.asarray(called(normal, keys(B), REFERENCE))
HI, LO = np.full(B, 0.6, np.float32), np.full(B, 0.4, np.float32)
RADIUS = 0.4 * math.sqrt(math.prod(SIDE))


@pytree
class Still:
    """A step that stays where it is, so that what is around it shows."""

    n_calls = 0

    def __call__(self, keys, denoise, x, hi, lo):
        return x


def ringed(offset, width=0.1, lo=LO):
    """Where the ring puts the reference plus an offset, less the reference."""
    denoise = WithReference(Gaussian(), REFERENCE)
    return np.asarray(called(Ringed(Still(), width, 0.1), keys(B), denoise, REFERENCE + offset, HI, lo)) - REFERENCE


def lengths(offset):
    return np.sqrt(np.sum(np.square(offset), axis=(1, 2, 3)))


def test_an_input_with_the_right_noise_lies_in_the_ring_and_stays():
    """Of 64 values the distance has a relative standard deviation of 1 / sqrt(128): four of them hold every row."""
    np.testing.assert_allclose(ringed(0.4 * NOISE, width=4 / math.sqrt(128)), 0.4 * NOISE, atol=1e-6)


@pytest.mark.parametrize(("sigma", "edge"), [(1.2, 1.1), (0.1, 0.9)], ids=["outside", "inside"])
def test_a_state_off_the_shell_comes_to_its_nearer_edge_on_its_own_ray(sigma, edge):
    expected = edge * RADIUS * NOISE / lengths(NOISE)[:, None, None, None]
    np.testing.assert_allclose(ringed(sigma * NOISE), expected, atol=1e-5)


def test_a_ring_without_width_is_the_shell_and_the_reference_itself_has_no_ray_to_it():
    off = np.where(np.arange(B)[:, None, None, None] == 0, 0, NOISE)
    np.testing.assert_allclose(lengths(ringed(off, width=0.0)), np.where(np.arange(B) == 0, 0, RADIUS), rtol=1e-4)


def test_below_its_last_level_a_ring_moves_nothing():
    lo = np.where(np.arange(B) < B // 2, 0.1, 0.4).astype(np.float32)
    moved = np.abs(ringed(1.2 * NOISE, lo=lo) - 1.2 * NOISE) > 1e-5
    assert not np.any(moved[: B // 2]) and np.mean(moved[B // 2 :]) > 0.99


def test_a_ring_outside_of_a_purifier_says_what_it_lacks():
    with pytest.raises(ValueError, match="A ring needs the image that is purified: walk Ringed in a Round"):
        Ringed(Euler(), 0.1, 0.0)(keys(B), Gaussian(), *map(jnp.asarray, (REFERENCE, HI, LO)))


def test_churn_raises_the_noise_as_algorithm_2_of_karras_does():
    """x + sqrt(t_hat^2 - t^2) S_noise eps at t_hat = t + gamma t, and the step from there; without churn, the step."""
    x = REFERENCE + 0.6 * NOISE
    eps = np.asarray(called(normal, fold(keys(B), 0), x))
    for gamma, scale in ((0.3, 1.007), (0.0, 1.0)):
        noisier = x + scale * math.sqrt((1 + gamma) ** 2 - 1) * 0.6 * eps
        expected = called(Euler(), keys(B), Gaussian(), noisier, np.float32(1 + gamma) * HI, LO)
        churned = called(Churned(Euler(), gamma, scale), keys(B), Gaussian(), x, HI, LO)
        np.testing.assert_allclose(churned, expected, atol=1e-5)
