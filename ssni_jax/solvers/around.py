"""Steps around another step: more noise before it, and the state brought back to its shell after it."""

import math

import jax.numpy as jnp

from ssni_jax.core.arrays import over, row_norm, safe_sqrt
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Step
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level


@pytree
class Churned:
    """`step` from noise (1 + churn) hi, to which fresh noise raises the state (Karras et al. 2022, algorithm 2).

    EDM's churn is min(S_churn / N, sqrt(2) - 1) in each of N steps, and `scale` is its S_noise.
    """

    step: Step
    churn: float = bounded(0, math.sqrt(2) - 1)
    scale: float = bounded(0, default=1.0)

    @property
    def n_calls(self) -> int:
        return self.step.n_calls

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        added = self.scale * safe_sqrt(jnp.asarray(self.churn * (2 + self.churn)))  # times hi: (1 + c)^2 - 1, never < 0
        churned = x + over(added * hi, x) * normal_like(fold(keys, 0), x)
        return self.step(fold(keys, 1), denoise, churned, (1 + self.churn) * hi, lo)


@pytree
class Ringed:
    """`step`, and then the state moved along its ray from the reference into the ring around it.

    The reference with noise `lo` would lie on a sphere of radius R = lo sqrt(d) around it, d values per image: the
    distance is clipped to R (1 - width) and R (1 + width). The standard deviation of a correct one is R / sqrt(2 d). At
    noise `until` and below nothing moves, because there the ring leads back to the perturbation of the reference.
    """

    step: Step
    width: float = bounded(0)
    until: float = bounded(0)

    @property
    def n_calls(self) -> int:
        return self.step.n_calls

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        reference = getattr(denoise, "reference", None)
        if reference is None:
            raise ValueError("A ring needs the image that is purified: walk Ringed in a Round of a Purifier.")
        moved = self.step(keys, denoise, x, hi, lo)
        return jnp.where(over(lo > self.until, x), self._in_ring(moved, reference, lo), moved)

    def _in_ring(self, x: Images, reference: Images, sigma: Level) -> Images:
        offset = x - reference
        distance, radius = row_norm(offset), sigma * math.sqrt(x[0].size)
        nearest = jnp.clip(distance, (1 - self.width) * radius, (1 + self.width) * radius)
        at_centre = distance == 0
        ratio = jnp.where(at_centre, 1.0, nearest / jnp.where(at_centre, 1.0, distance))
        return reference + over(ratio, x) * offset
