"""The convolution's hand-written gradient is the derived one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.networks.convolution import _convolve, convolve


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (4, 2, 1), (3, 1, 3), ((1, 5), 1, (0, 2)), ((4, 1), 2, (1, 0))],
)
def test_values_and_both_gradients_equal_the_derived_ones(size, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 8, 3)).astype(np.float32)
    (height, width), (above, beside) = (np.broadcast_to(each, 2).tolist() for each in (size, padding))
    kernel = rng.standard_normal((height, width, 3, 5)).astype(np.float32)
    pads = ((above, above), (beside, beside))
    derived = lambda x, kernel: _convolve(x, kernel, (stride, stride), pads)  # noqa: E731

    @jax.jit
    def values_and_gradients(x, kernel):
        both = (lambda x, kernel: convolve(x, kernel, stride, padding)), derived
        (ours, pull), (expected, expected_pull) = (jax.vjp(function, x, kernel) for function in both)
        cotangent = np.cos(np.arange(ours.size, dtype=np.float32)).reshape(ours.shape)
        return (ours, *pull(cotangent)), (expected, *expected_pull(cotangent))

    for mine, theirs in zip(*values_and_gradients(x, kernel), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_it_can_be_differentiated_twice():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 2))
    slope = lambda x: jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(convolve(x, kernel, 1, 1) ** 3))(x)))  # noqa: E731
    assert np.all(np.isfinite(jax.jit(jax.grad(slope))(x)))
