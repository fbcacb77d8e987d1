"""The guide on the estimate, DiffAP's step and MimicDiffusion's start, against what they are written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.purify import EstimateTowards, Fading, Fixed, NegativeL1, NegativeMse, NoiseAlone
from ssni_jax.recipes import mimicdiffusion
from ssni_jax.recipes.diffap import MEDIATOR
from ssni_jax.schedules import DiscreteVP
from ssni_jax.solvers import Ancestral, RandomSampling
from tests.kit import SHAPE, Gaussian, called, images, keys, two_modes

B = 3
X, REFERENCE = 2 * images(B) - 1, 2 * images(B, seed=1) - 1
SIGMA = jnp.asarray([0.2, 0.5, 2.0])


def estimate(guide, denoise=Gaussian(), x=X, sigma=SIGMA, reference=REFERENCE):
    """The guided estimate, and the one without the guide."""
    run = jax.jit(lambda x: (guide(denoise, keys(len(x)), reference)(x, sigma), denoise(x, sigma)))
    return tuple(map(np.asarray, run(x)))


def test_the_mediator_goes_a_share_of_the_way_that_fades_with_the_noise():
    """2 scale sqrt(abar) / d of the way, d pixels an image."""
    guided, plain = estimate(EstimateTowards(NegativeMse(), Fading(3.0)))
    share = 2 * 3.0 / np.sqrt(1 + np.asarray(SIGMA) ** 2) / np.prod(SHAPE)
    np.testing.assert_allclose(guided, plain + share[:, None, None, None] * (REFERENCE - plain), atol=1e-6)


@pytest.mark.parametrize("similarity", [NegativeMse(), NegativeL1()], ids=repr)
def test_no_pixel_moves_past_the_reference(similarity):
    guided, _ = estimate(EstimateTowards(similarity, Fixed(1e3)))
    np.testing.assert_allclose(guided, REFERENCE, atol=1e-6)


def test_the_absolute_difference_moves_every_pixel_by_one_step():
    guided, plain = estimate(EstimateTowards(NegativeL1(), Fixed(0.05 * SHAPE[0] * SHAPE[1])))
    expected = np.clip(REFERENCE, plain - 0.05, plain + 0.05)
    np.testing.assert_allclose(guided, expected, atol=1e-6)


def test_the_released_mediator_keeps_99_percent_of_a_cifar10_input_in_the_last_of_five_steps():
    x, sigma = jnp.zeros((1, 32, 32, 3)), DiscreteVP().sigma(jnp.asarray([0.2]))
    guided, _ = estimate(MEDIATOR, x=x, sigma=sigma, reference=jnp.ones_like(x))
    abar = np.prod(1 - np.linspace(1e-4, 2e-2, 1000)[:200])
    np.testing.assert_allclose(guided, 30000 * np.sqrt(abar) * 2 / (16 * 3072), rtol=1e-4)
    assert np.min(guided) > 0.99


def test_random_sampling_is_the_ancestral_step_without_the_noise_that_the_state_has():
    hi, lo = SIGMA, SIGMA / 2
    both = (called(step, keys(B), Gaussian(), X, hi, lo) for step in (Ancestral(), RandomSampling()))
    kept = (np.asarray(lo) / np.asarray(hi))[:, None, None, None] ** 2
    ancestral, forgetful = map(np.asarray, both)
    np.testing.assert_allclose(ancestral - forgetful, kept * (X - Gaussian()(X, hi)), atol=1e-6)


def test_a_round_from_noise_alone_knows_nothing_of_its_image_unless_there_is_no_noise():
    sigma = jnp.asarray([0.0, 1.0, 2.0])
    one, other = (np.asarray(NoiseAlone()(keys(B), x, sigma)) for x in (X, REFERENCE))
    np.testing.assert_array_equal(one[1:], other[1:])
    np.testing.assert_array_equal(one[0], X[0])


@pytest.mark.parametrize("detached", [True, False])
def test_an_attack_on_mimicdiffusion_sees_no_slope_unless_the_guide_shows_it(detached):
    guide = EstimateTowards(NegativeL1(), Fixed(3.0), detached=detached)
    purifier = mimicdiffusion(two_modes(), guide=guide, n_steps=2)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(purifier(keys(B), x)))))(images(B))
    assert bool(jnp.any(slope != 0)) is not detached
