"""Preconditioning against its closed forms."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.protocols import Denoiser
from ssni_jax.core.pytree import pytree
from ssni_jax.networks import EdmCoefficients, Preconditioned, VeCoefficients, VpCoefficients
from ssni_jax.networks.precondition import Conditioned, ConsistencyCoefficients, IddpmCoefficients, Snapped

X = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
SIGMA = jnp.array([0.0, 0.5, 20.0])


@pytree
class Quadratic:
    """A schedule with sigma(t) = t^2, so that the inverse is visible in the label."""

    def sigma(self, t):
        return jnp.square(t)

    def scale(self, t):
        return 1 / jnp.sqrt(1 + self.sigma(t) ** 2)

    def inverse(self, sigma):
        return jnp.sqrt(sigma)


@pytree
class Echo:
    """A network whose output shows both of its inputs."""

    weight: jax.Array

    def __call__(self, x, noise_label):
        return self.weight * x + noise_label[:, None, None, None]


@pytree
class Table:
    """A table of four steps with sigma = 1, 2, 3, 4, interpolated."""

    def sigma(self, t):
        return 4 * t

    def scale(self, t):
        return 1 / jnp.sqrt(1 + self.sigma(t) ** 2)

    def inverse(self, sigma):
        return jnp.clip(sigma / 4, 0, 1)


COEFFICIENTS = [
    EdmCoefficients(),
    VpCoefficients(Quadratic()),
    VeCoefficients(),
    IddpmCoefficients(Table(), 4),
    IddpmCoefficients(Table(), 4, whole=False),
    ConsistencyCoefficients(),
]
SMOOTH = [value for value in COEFFICIENTS if not isinstance(value, VpCoefficients)]


@pytest.mark.parametrize("coefficients", COEFFICIENTS, ids=lambda value: type(value).__name__)
def test_at_sigma_zero_the_denoiser_is_the_identity(coefficients):
    denoise = Preconditioned(Echo(jnp.array(2.0)), coefficients)
    np.testing.assert_allclose(denoise(X, jnp.zeros(3)), X, rtol=1e-6)


@pytest.mark.parametrize("coefficients", SMOOTH, ids=lambda value: type(value).__name__)
def test_the_gradient_is_finite_down_to_sigma_zero(coefficients):
    def total(denoise, x, sigma):
        return jnp.sum(jnp.square(denoise(x, sigma)))

    denoise = Preconditioned(Echo(jnp.array(2.0)), coefficients)
    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2), allow_int=True))(denoise, X, SIGMA)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize("coefficients", SMOOTH, ids=lambda value: type(value).__name__)
def test_nan_stays_loud(coefficients):
    assert bool(jnp.isnan(coefficients(jnp.array([jnp.nan])).noise[0]))


def test_edm_coefficients_are_those_of_table_1():
    c = EdmCoefficients(0.5)(jnp.array([0.5, 20.0]))
    np.testing.assert_allclose(c.skip, [0.5, 0.25 / 400.25], rtol=1e-6)
    np.testing.assert_allclose(c.out, [0.25 / np.sqrt(0.5), 10 / np.sqrt(400.25)], rtol=1e-6)
    np.testing.assert_allclose(c.in_, [1 / np.sqrt(0.5), 1 / np.sqrt(400.25)], rtol=1e-6)
    np.testing.assert_allclose(c.noise, [np.log(0.5) / 4, np.log(20) / 4], rtol=1e-6)


def test_edm_keeps_the_input_and_target_at_unit_variance():
    """Eqs. 114 and 131 of Karras et al. 2022: c_in^2 Var(x) = 1 and Var(effective target) = 1."""
    sigma, data = jnp.array([0.01, 1.0, 50.0]), 0.7
    c = EdmCoefficients(data)(sigma)
    np.testing.assert_allclose(c.in_**2 * (sigma**2 + data**2), 1, rtol=1e-5)
    np.testing.assert_allclose((1 - c.skip) ** 2 * data**2 + c.skip**2 * sigma**2, c.out**2, rtol=1e-4)


def test_vp_predicts_the_noise_of_the_scaled_state_at_label_999_t():
    c = VpCoefficients(Quadratic())(SIGMA)
    np.testing.assert_allclose(c.in_, [1, 1 / np.sqrt(1.25), 1 / np.sqrt(401)], rtol=1e-6)
    np.testing.assert_allclose(c.out, -SIGMA)
    np.testing.assert_allclose(c.noise, 999 * np.sqrt([0, 0.5, 20]), rtol=1e-6)


def test_the_denoiser_assembles_the_coefficients():
    """Eq. 7 of Karras et al. 2022 with F(x, v) = 2 x + v."""
    c, denoise = EdmCoefficients()(SIGMA), Preconditioned(Echo(jnp.array(2.0)), EdmCoefficients())
    expected = c.skip[2] * X[2] + c.out[2] * (2 * c.in_[2] * X[2] + c.noise[2])
    np.testing.assert_allclose(denoise(X, SIGMA)[2], expected, rtol=1e-5)


def test_ve_label_is_half_the_noise_in_logarithms():
    np.testing.assert_allclose(VeCoefficients()(jnp.array([2.0, 20.0])).noise, [0, np.log(10)], atol=1e-6)


def test_iddpm_labels_are_the_indices_of_the_nearest_table_entries():
    sigma = jnp.array([0.2, 1.0, 2.4, 2.6, 9.0])
    c = IddpmCoefficients(Table(), 4, label_step=250.0)(sigma)
    np.testing.assert_allclose(c.noise, [0, 0, 250, 500, 750])
    np.testing.assert_allclose(c.in_, 1 / np.sqrt(1 + np.asarray(sigma) ** 2), rtol=1e-6)
    np.testing.assert_allclose(c.out, -sigma)


def test_fractional_iddpm_labels_lie_between_the_indices():
    c = IddpmCoefficients(Table(), 4, whole=False)(jnp.array([0.2, 2.5, 9.0]))
    np.testing.assert_allclose(c.noise, [0, 1.5, 3], rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.001, 0.002])
def test_a_consistency_function_is_the_identity_up_to_sigma_min(sigma):
    f = Preconditioned(Echo(jnp.array(2.0)), ConsistencyCoefficients())
    np.testing.assert_allclose(f(X, jnp.full(3, sigma)), X, rtol=1e-6)


def test_consistency_coefficients_are_edms_far_above_sigma_min():
    sigma = jnp.array([20.0, 80.0])
    edm, consistency = EdmCoefficients()(sigma), ConsistencyCoefficients(label_scale=0.25)(sigma)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-4), edm, consistency)


def test_consistency_coefficients_are_those_of_the_paper():
    c = ConsistencyCoefficients(0.5, 0.002)(jnp.array([1.002]))
    np.testing.assert_allclose(c.skip, 0.25 / 1.25, rtol=1e-6)
    np.testing.assert_allclose(c.out, 0.5 / np.sqrt(0.25 + 1.002**2), rtol=1e-6)
    np.testing.assert_allclose(c.noise, 250 * np.log(1.002), rtol=1e-4)


def test_channels_beyond_the_images_are_left_out():
    def network(x, noise_label):
        return jnp.concatenate([x, jnp.full_like(x, jnp.nan)], -1)

    np.testing.assert_allclose(Preconditioned(network, VeCoefficients())(X, SIGMA)[0], X[0])


@pytest.mark.parametrize("labels", [2, jnp.array(2), jnp.array([2, 2, 2])], ids=["int", "array", "rows"])
def test_a_conditioned_denoiser_is_told_its_class(labels):
    def denoise(x, sigma, class_labels):
        return x + jnp.argmax(class_labels, -1)[:, None, None, None]

    fixed = Conditioned(denoise, labels, n_classes=4)
    assert isinstance(fixed, Denoiser)
    np.testing.assert_allclose(fixed(X, SIGMA), X + 2)
    np.testing.assert_allclose(jax.jit(lambda k, x: Conditioned(denoise, k, 4)(x, SIGMA))(labels, X), X + 2)


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="class 4 does not exist: choose one of 0 to 3"):
        Conditioned(EdmCoefficients(), jnp.array([0, 4]), n_classes=4)


def test_a_preconditioned_network_is_a_denoiser():
    denoise = Preconditioned(Echo(jnp.array(1.0)), EdmCoefficients())
    assert isinstance(denoise, Denoiser)
    assert list(inspect.signature(denoise.__call__).parameters)[:2] == ["x", "sigma"]


def test_sweeping_sigma_data_does_not_retrace():
    traces = []

    @jax.jit
    def denoise(model, x, sigma):
        traces.append(1)
        return model(x, sigma)

    for data in (0.3, 0.5, 0.7):
        denoise(Preconditioned(Echo(jnp.array(1.0)), EdmCoefficients(data)), X, SIGMA)
    assert len(traces) == 1


def test_snapped_coefficients_are_those_of_the_nearest_of_eighteen_levels():
    snapped, exact = Snapped(EdmCoefficients()), EdmCoefficients()
    found = snapped(jnp.asarray([0.5, 1.0, 2.0]))
    expected = exact(jnp.asarray([0.5853, 1.0882, 1.9233]))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
