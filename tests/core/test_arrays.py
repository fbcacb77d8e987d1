import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.arrays import over, row_norm, safe_sqrt, to_diffusion_range, to_unit_range
from tests.kit import images


def test_over_scales_each_row_by_its_own_value():
    x = images(3)
    scaled = over(jnp.asarray([0.0, 1.0, 2.0]), x) * x
    np.testing.assert_array_equal(scaled, jnp.stack([0 * x[0], x[1], 2 * x[2]]))


def test_safe_sqrt_is_sqrt_and_its_gradient_is_that_of_sqrt_above_zero():
    v = jnp.asarray([1e-12, 0.25, 9.0])
    np.testing.assert_allclose(safe_sqrt(v), np.sqrt(v), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(safe_sqrt))(v), 0.5 / np.sqrt(v), rtol=1e-6)


def test_safe_sqrt_is_flat_at_zero():
    assert safe_sqrt(jnp.asarray(0.0)) == 0
    assert jax.grad(safe_sqrt)(0.0 * jnp.ones(())) == 0


@pytest.mark.parametrize("bad", [float("nan"), -1.0])
def test_safe_sqrt_of_nothing_sensible_is_nan(bad):
    assert jnp.isnan(safe_sqrt(jnp.asarray(bad)))
    assert jnp.isnan(jax.grad(safe_sqrt)(jnp.asarray(bad)))


def test_a_row_norm_is_euclidean_and_flat_at_a_zero_row():
    x = jnp.concatenate([images(2), jnp.zeros((1, *images(1).shape[1:]))])
    np.testing.assert_allclose(row_norm(x), np.linalg.norm(np.asarray(x).reshape(3, -1), axis=1), rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(row_norm(x)))(x)
    assert jnp.all(jnp.isfinite(gradient)) and jnp.all(gradient[2] == 0)


def test_the_ranges_are_inverse_and_meet_their_ends():
    ends = jnp.asarray([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(to_diffusion_range(ends).ravel(), [-1, 0, 1])
    np.testing.assert_array_equal(to_unit_range(to_diffusion_range(ends)), ends)
