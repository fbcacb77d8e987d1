"""How a round begins: with noise of its level, with the state as it is, or with nothing but noise."""

import jax.numpy as jnp

from ssni_jax.core.arrays import over
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.solvers import diffuse


@pytree
class Diffused:
    """x + sigma n, the forward process."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return diffuse(keys, x, sigma)


@pytree
class AsGiven:
    """The state itself: for images that were noised elsewhere, and for dynamics that bring their own noise."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return x


@pytree
class NoiseAlone:
    """sigma n, nothing of the image; at noise zero the image, which is left alone there."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return jnp.where(over(sigma, x) == 0, x, over(sigma, x) * normal_like(keys, x))
