"""Steps of an optimiser on the image itself: the methods that purify by gradients instead of by sampling."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from ssni_jax.core.adam import AdamMoments, adam_step, no_moments
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level

NO_NOISE = 1.0  # what a row without noise is told instead of zero; none of its steps counts


class Optimised(NamedTuple):
    """What an optimiser knows of each row: its image, Adam's moments, the steps taken, and how the round began.

    The round began with `noise` times `sigma` added.
    """

    x: Images
    moments: AdamMoments
    n_taken: Level
    noise: Images
    sigma: Level


@runtime_checkable
class Discrepancy(Protocol):
    """How far each image is from what the denoiser expects; `x` is minimised over, `begun` is how its round began."""

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, begun: Optimised) -> Level: ...


@runtime_checkable
class Sigmas(Protocol):
    """Draws the noise level of each row in one step, from the level of its round."""

    def __call__(self, keys: Keys, sigma: Level) -> Level: ...


@pytree
class Around:
    """Uniform between (1 - spread) and (1 + spread) times the level of the round."""

    spread: float = bounded(0, 1, below=True, default=0.2)

    def __call__(self, keys: Keys, sigma: Level) -> Level:
        return sigma * (1 + self.spread * jax.vmap(lambda key: jax.random.uniform(key, (), minval=-1.0))(keys))


@pytree
class Between:
    """Uniform between two levels, whatever that of the round."""

    low: float = bounded(0, above=True, default=0.4)
    high: float = bounded(0, above=True, default=0.6)

    def __call__(self, keys: Keys, sigma: Level) -> Level:
        return self.low + (self.high - self.low) * jax.vmap(jax.random.uniform)(keys)


@pytree
class DenoisingError:
    """|D(x + s n) - x|^2 at a noise level s of `sigmas`, with fresh noise n in every step.

    Its mean over noise and levels bounds the negative log-likelihood of x (Chen et al. 2024, arXiv:2305.15241).
    """

    sigmas: Sigmas = Around()

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, begun: Optimised) -> Level:
        sigma = self.sigmas(fold(keys, 0), begun.sigma)
        return squared_norm(denoise(x + over(sigma, x) * normal_like(fold(keys, 1), x), sigma) - x)


@pytree
class NoiseError:
    """|(x - D(x)) / sigma - n|^2: the denoiser should find the noise n with which the round began, at its level."""

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, begun: Optimised) -> Level:
        return squared_norm((x - denoise(x, begun.sigma)) / over(begun.sigma, x) - begun.noise)


@pytree
class Optimise:
    """One step of Adam on the `discrepancy` of each row, differentiable to second order.

    Rows share nothing: the discrepancy is summed over the pixels of an image where released code averages over the
    batch, which Adam does not see but for its 1e-8. The levels of the walk order the steps, and that of its first is
    what the discrepancy is told. A call and its gradient count as three network calls.
    """

    n_calls = 3
    walks_noise = False
    discrepancy: Discrepancy = DenoisingError()
    learning_rate: float = bounded(0, default=0.1)

    def begin(self, before: Images, x: Images, sigma: Level) -> Optimised:
        """The state before the first step on `x`, which has been noised with `sigma` from `before`."""
        sigma = jnp.where(sigma == 0, NO_NOISE, sigma)
        return Optimised(x, no_moments(x), jnp.zeros_like(sigma), (x - before) / over(sigma, x), sigma)

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Optimised, hi: Level, lo: Level) -> Optimised:
        slope = jax.grad(lambda image: jnp.sum(self.discrepancy(keys, denoise, image, x)))(x.x)
        direction, moments = adam_step(x.moments, slope, over(x.n_taken, slope))
        moved = x.x - self.learning_rate * direction
        return x._replace(x=moved, moments=moments, n_taken=x.n_taken + 1)

    def image(self, x: Optimised) -> Images:
        """The image as it is now."""
        return x.x


def squared_norm(x: Images) -> Level:
    """The sum of the squared pixels of each image."""
    return jnp.sum(jnp.square(x), axis=(1, 2, 3))
