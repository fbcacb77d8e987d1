import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.networks import Clipped, Conditioned, EdmCoefficients, Preconditioned
from ssni_jax.schedules import DiscreteVP
from ssni_jax.solvers import Ancestral, FixedLarge, FixedSmall, Learned
from tests.kit import Gaussian, called, images, keys

B = 4
X = 2 * images(B) - 1
TABLE = DiscreteVP()
HI, LO = TABLE.sigma(jnp.asarray([0.04, 0.5, 0.9, 0.002])), TABLE.sigma(jnp.asarray([0.02, 0.4, 0.001, 0.001]))
ABAR_HI, ABAR_LO = (1 / (1 + np.asarray(sigma, np.float64) ** 2) for sigma in (HI, LO))
BETA = 1 - ABAR_HI / ABAR_LO
POSTERIOR = BETA * (1 - ABAR_LO) / (1 - ABAR_HI)


@pytree
class WithExtra:
    """A Gaussian denoiser whose further channels are all `extra`."""

    extra: float

    def __call__(self, x, sigma):
        return Gaussian()(x, sigma)

    def with_extra(self, x, sigma):
        return self(x, sigma), jnp.full_like(x, self.extra)


@jax.jit
def deviation(variance, denoise, hi, lo):
    return jnp.broadcast_to(variance(denoise, X, hi, lo)[1], X.shape)


def scaled_variance(variance, denoise):
    """In variance-preserving coordinates, one number a row."""
    return ABAR_LO * np.square(np.asarray(deviation(variance, denoise, HI, LO), np.float64)[:, 0, 0, 0])


def test_fixed_variances_are_ddpms():
    """Ho et al. 2020, section 3.2 and eq. 7, from the cumulated products of the table."""
    np.testing.assert_allclose(scaled_variance(FixedLarge(), Gaussian()), BETA, rtol=1e-4)
    np.testing.assert_allclose(scaled_variance(FixedSmall(), Gaussian()), POSTERIOR, rtol=1e-4)


@pytest.mark.parametrize("extra", [-1.0, -0.2, 1.0])
def test_a_learned_variance_lies_between_them_on_the_scale_of_logarithms(extra):
    share = (extra + 1) / 2
    expected = BETA**share * POSTERIOR ** (1 - share)
    np.testing.assert_allclose(scaled_variance(Learned(), WithExtra(extra)), expected, rtol=1e-4)


@pytest.mark.parametrize("variance", [FixedSmall(), FixedLarge(), Learned()], ids=repr)
def test_to_noise_zero_nothing_is_drawn(variance):
    assert jnp.all(deviation(variance, WithExtra(0.3), HI, 0 * LO) == 0)
    step = Ancestral(variance=variance)
    np.testing.assert_allclose(called(step, keys(B), WithExtra(0.3), X, HI, 0 * LO), Gaussian()(X, HI), atol=1e-6)


@pytest.mark.parametrize("variance", [FixedSmall(), FixedLarge(), Learned()], ids=repr)
def test_gradients_are_finite_in_the_image_and_in_the_levels(variance):
    step = Ancestral(variance=variance)
    slopes = jax.jit(jax.grad(lambda ends: jnp.sum(step(keys(B), WithExtra(0.3), *ends))))
    found = slopes((X, HI, LO.at[0].set(0.0)))
    assert all(jnp.all(jnp.isfinite(slope)) for slope in found) and jnp.all(found[0] != 0)


def test_a_larger_variance_changes_the_noise_and_leaves_the_mean():
    small, large = (called(Ancestral(variance=v), keys(B), Gaussian(), X, HI, LO) for v in (FixedSmall(), FixedLarge()))
    more = deviation(FixedLarge(), Gaussian(), HI, LO) - deviation(FixedSmall(), Gaussian(), HI, LO)
    np.testing.assert_allclose(large - small, more * normal_like(keys(B), X), atol=2e-4)


def test_a_denoiser_that_hides_its_further_channels_is_refused_by_name():
    with pytest.raises(ValueError, match="Gaussian does not offer `with_extra`"):
        Learned()(Gaussian(), X, HI, LO)


def test_a_network_without_further_channels_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="has 0 further channels"):
        Learned()(Preconditioned(lambda x, label: x, EdmCoefficients()), X, HI, LO)


def doubled(x, label, class_labels=None):
    """A network with twice the channels: the image, and the number of its class."""
    of_class = jnp.zeros(len(x)) if class_labels is None else jnp.argmax(class_labels, axis=1).astype(x.dtype)
    return jnp.concatenate([9 * x, jnp.zeros_like(x) + of_class[:, None, None, None]], axis=-1)


def test_preconditioning_gives_the_further_channels_as_they_are():
    denoise = Preconditioned(doubled, EdmCoefficients())
    x0, extra = denoise.with_extra(X, HI)
    assert jnp.all(extra == 0) and x0.shape == X.shape
    np.testing.assert_array_equal(x0, denoise(X, HI))


def test_clipping_and_classes_pass_the_further_channels_on():
    denoise = Clipped(Conditioned(Preconditioned(doubled, EdmCoefficients()), 2, 3))
    x0, extra = denoise.with_extra(X, HI)
    assert jnp.all(extra == 2) and jnp.all(jnp.abs(x0) <= 1) and jnp.any(jnp.abs(x0) == 1)
    np.testing.assert_array_equal(x0, denoise(X, HI))
