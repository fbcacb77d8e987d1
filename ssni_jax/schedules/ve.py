"""Variance-exploding noise: the schedule of EDM and of consistency models, where time is the noise level."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.pytree import pytree


@pytree
class VE:
    """sigma(t) = t, scale 1 (Karras et al. 2022, table 1, EDM column)."""

    n_integer_steps = None

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        return t

    def scale(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        return jnp.ones_like(t)

    def inverse(self, sigma: Float[Array, "*s"]) -> Float[Array, "*s"]:
        return sigma
