"""Noising and the differentiable solver: one scan over the steps of a grid, per-sample levels in every row."""

import jax
import jax.numpy as jnp

from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import Step
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level, Levels

IDLE_HI, IDLE_LO = 1.0, 0.5


def diffuse(keys: Keys, x: Images, sigma: Level) -> Images:
    """x + sigma * n, the unscaled forward process."""
    return x + over(sigma, x) * normal_like(keys, x)


def solve(keys: Keys, denoise: DenoiseFn, step: Step, x: Images, levels: Levels) -> Images:
    """Walks every sample down its own column of noise `levels`; exact gradients at one network's activations of memory.

    A zero-length step is the identity and is decided here, once. Its network call still happens (a scan has one
    shape), on harmless noise; `ragged.solve` spares it.
    """

    def body(x, row):
        index, hi, lo = row
        return advance(fold(keys, index), denoise, step, x, (hi, lo)), None

    rows = (jnp.arange(levels.shape[0] - 1), levels[:-1], levels[1:])
    return jax.lax.scan(jax.checkpoint(body), x, rows)[0]


def advance(keys: Keys, denoise: DenoiseFn, step: Step, x: Images, ends: tuple[Level, Level]) -> Images:
    """One step where `hi` differs from `lo`, the identity elsewhere.

    The mask is `hi == lo`, not `hi > lo`: a NaN level must show, and `>` would skip it.
    """
    hi, lo = ends
    idle = hi == lo
    moved = step(keys, denoise, x, jnp.where(idle, IDLE_HI, hi), jnp.where(idle, IDLE_LO, lo))
    return jnp.where(over(idle, x), x, moved)
