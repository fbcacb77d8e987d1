"""Steps around another step: churn adds what Karras et al. say, and the ring holds what it should and moves the rest."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.arrays import row_norm
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify import Itself
from ssni_jax.purify.guides.guided import WithReference
from ssni_jax.solvers import Ancestral, Churned, Euler, Ringed, diffuse
from tests.kit import Gaussian, called, images, keys

B, SIDE = 64, (8, 8, 1)
REFERENCE = 2 * images(B, shape=SIDE) - 1
HI, LO = jnp.full(B, 0.6), jnp.full(B, 0.4)
D = math.prod(SIDE)


class Still:
    """A step that stays where it is, so that what is around it shows."""

    n_calls = 0

    def __call__(self, keys, denoise, x, hi, lo):
        return x


def ringed(x, lo, width=0.1, until=0.1):
    denoise = WithReference(Gaussian(), REFERENCE)
    return Ringed(Still(), width, until)(keys(B), denoise, x, HI, lo)


def test_an_input_with_the_right_noise_lies_in_the_ring_and_stays():
    """Of 64 values the distance has a relative standard deviation of 1 / sqrt(128): four of them hold every row."""
    state = diffuse(keys(B), REFERENCE, LO)
    np.testing.assert_allclose(ringed(state, LO, width=4 / math.sqrt(2 * D)), state, atol=1e-6)


@pytest.mark.parametrize(("factor", "edge"), [(3.0, 1.1), (0.2, 0.9)], ids=["outside", "inside"])
def test_a_state_off_the_shell_comes_to_its_nearer_edge_on_its_own_ray(factor, edge):
    offset = factor * LO[0] * normal_like(keys(B), REFERENCE)
    moved = ringed(REFERENCE + offset, LO) - REFERENCE
    np.testing.assert_allclose(row_norm(moved), edge * LO * math.sqrt(D), rtol=1e-5)
    cosine = jnp.sum(moved * offset, axis=(1, 2, 3)) / (row_norm(moved) * row_norm(offset))
    np.testing.assert_allclose(cosine, 1.0, rtol=1e-6)


def test_a_ring_without_width_is_the_shell_and_the_reference_itself_has_no_ray_to_it():
    state = diffuse(keys(B), REFERENCE, 2 * LO).at[0].set(REFERENCE[0])
    distance = row_norm(ringed(state, LO, width=0.0) - REFERENCE)
    np.testing.assert_allclose(distance[1:], (LO * math.sqrt(D))[1:], rtol=1e-5)
    assert distance[0] == 0


def test_below_its_last_level_a_ring_moves_nothing():
    state = diffuse(keys(B), REFERENCE, 3 * LO)
    lo = LO.at[: B // 2].set(0.1)
    moved = ringed(state, lo)
    np.testing.assert_array_equal(moved[: B // 2], state[: B // 2])
    assert jnp.all(moved[B // 2 :] != state[B // 2 :])


def test_a_ring_outside_of_a_purifier_says_what_it_lacks():
    with pytest.raises(ValueError, match="A ring needs the image that is purified: walk Ringed in a Round"):
        Ringed(Euler(), 0.1, 0.0)(keys(B), Gaussian(), REFERENCE, HI, LO)
    assert Itself().n_calls == 0


@pytest.mark.parametrize("scale", [1.0, 1.007])
def test_churn_raises_the_noise_as_algorithm_2_of_karras_does(scale):
    """x + sqrt(t_hat^2 - t^2) S_noise eps at t_hat = t + gamma t, and the step from there."""
    x, gamma = diffuse(keys(B), REFERENCE, HI), 0.3
    noisier = x + scale * jnp.sqrt((1 + gamma) ** 2 - 1) * HI[0] * normal_like(fold(keys(B), 0), x)
    expected = Euler()(keys(B), Gaussian(), noisier, (1 + gamma) * HI, LO)
    stepped = called(Churned(Euler(), gamma, scale), keys(B), Gaussian(), x, HI, LO)
    np.testing.assert_allclose(stepped, expected, atol=1e-5)


def test_no_churn_is_the_step_itself():
    x = diffuse(keys(B), REFERENCE, HI)
    stepped = called(Churned(Euler(), 0.0), keys(B), Gaussian(), x, HI, LO)
    np.testing.assert_allclose(stepped, Euler()(keys(B), Gaussian(), x, HI, LO), atol=1e-6)
    assert Churned(Ancestral(), 0.1).n_calls == Ringed(Ancestral(), 0.1, 0.0).n_calls == 1


def test_churned_steps_keep_the_variance_that_the_level_says():
    """On Gaussian data of standard deviation s, states of variance s^2 + hi^2 get s^2 + lo^2, with churn and without.

    The probability-flow ODE of a Gaussian is x (s^2 + lo^2)^(1/2) / (s^2 + hi^2)^(1/2); many small Euler steps come
    near it.
    """
    n, s = 4096, 0.5
    levels = jnp.linspace(0.6, 0.4, 9)
    x = jnp.sqrt(s**2 + levels[0] ** 2) * normal_like(keys(n, seed=1), jnp.zeros((n, 2, 2, 1)))
    step = Churned(Euler(), 0.1)
    for i, (hi, lo) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        x = called(step, fold(keys(n), i), Gaussian(s), x, jnp.full(n, hi), jnp.full(n, lo))
    assert float(jnp.var(x)) == pytest.approx(s**2 + 0.4**2, rel=0.03)
