"""How a round begins: with noise of its level, in some pixels, more of it, or alone, or with the state as it is."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, to_unit_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Noise
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.purify.guides.masks import Masking
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
class GivenNoise:
    """x + sigma `noise`, with one [H, W, C] for every image, or one image of noise per row of the batch.

    The same for every draw and repeat: no key is used.
    """

    noise: Float[Array, "*B H W C"]

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return x + over(sigma, x) * self.noise


@pytree
class Masked:
    """`noise` times an intensity per pixel, `mask` of the image in [0, 1]: where it is zero, nothing is added.

    The walk back takes the whole state to have the round's noise, unless the guide says otherwise, as `OutsideKept`.
    """

    mask: Masking
    noise: Noise = Diffused()

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return x + self.mask(to_unit_range(x)) * (self.noise(keys, x, sigma) - x)


@pytree
class Amplified:
    """`noise` at `factor` times the level at which the walk back begins: more than the denoiser is told."""

    factor: float = bounded(0)
    noise: Noise = Diffused()

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return self.noise(keys, x, self.factor * sigma)


@pytree
class NoiseAlone:
    """sigma n, nothing of the image; at noise zero the image, which is left alone there."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return jnp.where(over(sigma, x) == 0, x, over(sigma, x) * normal_like(keys, x))
