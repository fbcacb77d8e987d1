"""Guidance by the gradient of a similarity to the image being purified, of the state or of the estimate."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import as_pixels, bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.purify.guides.similarity import NegativeMse, Similarity
from ssni_jax.solvers.adjusted import Adjusted


@runtime_checkable
class Strength(Protocol):
    """How much of the similarity's gradient is taken at each noise level."""

    def __call__(self, sigma: Level) -> Level: ...


@runtime_checkable
class Compared(Protocol):
    """What a noisy variance-preserving state is compared with, made of the reference."""

    def __call__(self, keys: Keys, reference: Images, sigma: Level) -> Images: ...


@pytree
class Annealed:
    """guide_scale sigma / (2 eps / 3), GDMP's sqrt(1 - abar) / (m sqrt(abar)) with m = (2 eps / 3) / guide_scale.

    `eps` is the attack's radius in the [0, 1] range.
    """

    guide_scale: float = bounded(default=600.0)
    eps: float = bounded(0, 1, above=True, hint=as_pixels, default=8 / 255)

    def __call__(self, sigma: Level) -> Level:
        return self.guide_scale * sigma * 3 / (2 * self.eps)


@pytree
class Fixed:
    """The same strength at every noise level, GDMP's constant mode."""

    guide_scale: float = bounded(default=1.0)

    def __call__(self, sigma: Level) -> Level:
        return jnp.full_like(sigma, self.guide_scale)


@pytree
class Fading:
    """guide_scale sqrt(abar): full strength without noise, none in the limit of noise alone (DiffAP)."""

    guide_scale: float = bounded(default=1.0)

    def __call__(self, sigma: Level) -> Level:
        return self.guide_scale * _scale(sigma)


@pytree
class Noised:
    """The reference with fresh noise of the state's own level, drawn anew in every step (GDMP on CIFAR-10)."""

    def __call__(self, keys: Keys, reference: Images, sigma: Level) -> Images:
        return over(_scale(sigma), reference) * (reference + over(sigma, reference) * normal_like(keys, reference))


@pytree
class Plain:
    """The reference without noise (GDMP on ImageNet)."""

    def __call__(self, keys: Keys, reference: Images, sigma: Level) -> Images:
        return reference


@pytree
class TowardsInput:
    """GDMP (Wang et al. 2022, arXiv:2205.14969): D + sigma^2 G, where G is a gradient at the state, not at D.

    G = scale strength(sigma) grad S(x_t, comparison), x_t = scale x, scale = 1 / sqrt(1 + sigma^2).

    By Tweedie's formula sigma^2 G is what a score that is larger by G moves the estimate. Ancestral and
    Euler-Maruyama steps then move their mean by (hi^2 - lo^2) G, which is the published Var_t strength grad S in
    unscaled coordinates, for the fixed-large variance, but for a factor sqrt(alpha_t) (Wang et al. 2022, eq. 8, code).
    S is a mean over the pixels of one image; the released code also divides by the size of its batch.
    """

    similarity: Similarity = NegativeMse()
    strength: Strength = Annealed()
    comparison: Compared = Noised()

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        def uphill(x: Images, sigma: Level, x0: Images) -> Images:
            scale = _scale(sigma)
            compared = self.comparison(keys, reference, sigma)
            gradient = jax.grad(lambda state: jnp.sum(self.similarity(state, compared)))(over(scale, x) * x)
            return x0 + over(jnp.square(sigma) * scale * self.strength(sigma), x) * gradient

        return Adjusted(denoise, uphill)


@pytree
class EstimateTowards:
    """D + strength(sigma) grad S(D, reference), where no pixel moves past that of the reference.

    DiffAP's mediator (Zhang et al. 2024, arXiv:2411.18956, code) and the guide of MimicDiffusion. S is a mean over one
    image, where their code averages over its batch of 16 and overshoots in smaller ones. `detached` stops the gradient
    of the move, as their code does, so that an attacker does not see that the result follows the input.
    """

    similarity: Similarity = NegativeMse()
    strength: Strength = Fading()
    detached: bool = static(default=False)

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        def nearer(x: Images, sigma: Level, x0: Images) -> Images:
            gradient = jax.grad(lambda x0: jnp.sum(self.similarity(x0, reference)))(x0)
            gap = jnp.abs(reference - x0)
            move = jnp.clip(over(self.strength(sigma), x) * gradient, -gap, gap)
            return x0 + (jax.lax.stop_gradient(move) if self.detached else move)

        return Adjusted(denoise, nearer)


def _scale(sigma: Level) -> Level:
    """The factor that makes the unscaled state variance-preserving."""
    return 1 / jnp.sqrt(1 + jnp.square(sigma))
