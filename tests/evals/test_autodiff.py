"""A function without its checkpoints and hand-written gradients is the same function."""

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.evals.autodiff import plain
from ssni_jax.networks.convolution import convolve
from tests.kit import images, keys, recipes

WEIGHTS = jnp.linspace(-1.0, 1.0, 9 * 4).reshape(3, 3, 2, 2)


@jax.custom_vjp
def wrong(x):
    """Sine with a gradient that is not its own."""
    return jnp.sin(x)


wrong.defvjp(lambda x: (jnp.sin(x), None), lambda _, gradient: (100 * gradient,))


def looped(x):
    """A custom gradient inside a checkpoint inside a branch inside a loop inside a jit."""

    @jax.jit
    def body(x, positive):
        return jax.lax.cond(positive, jax.checkpoint(lambda x: wrong(x) * x), lambda x: x, x), None

    return jnp.sum(jax.lax.scan(body, x, jnp.asarray([True, False, True]))[0])


def straight(x):
    for _ in range(2):
        x = jnp.sin(x) * x
    return jnp.sum(x)


def test_a_custom_gradient_is_replaced_by_the_true_one_wherever_it_stands():
    x = jnp.linspace(0.5, 1.5, 5)
    np.testing.assert_allclose(plain(looped, x)(x), looped(x), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(plain(looped, x))(x), jax.grad(straight)(x), rtol=1e-5)
    assert jnp.all(jnp.abs(jax.grad(looped)(x) - jax.grad(straight)(x)) > 1)


def test_the_hand_written_gradient_of_the_convolution_is_that_of_jax():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 2))
    loss = lambda x: jnp.sum(jnp.sin(convolve(x, WEIGHTS, 2, 1)))  # noqa: E731
    assert "custom_vjp" in str(jax.make_jaxpr(loss)(x)) and "custom_vjp" not in str(jax.make_jaxpr(plain(loss, x))(x))
    np.testing.assert_allclose(jax.grad(loss)(x), jax.grad(plain(loss, x))(x), rtol=1e-5, atol=1e-5)


def test_a_purifier_keeps_its_images_and_loses_its_checkpoints():
    purify = recipes()["ssni_n diffpure_ddpm"].soft()
    run = lambda purify, x: purify(keys(3), x)  # noqa: E731
    bare = plain(run, purify, images(3))
    assert "remat" in str(jax.make_jaxpr(run)(purify, images(3)))
    assert "remat" not in str(jax.make_jaxpr(bare)(purify, images(3)))
    np.testing.assert_allclose(jax.jit(bare)(purify, images(3)), jax.jit(run)(purify, images(3)), atol=1e-5)
