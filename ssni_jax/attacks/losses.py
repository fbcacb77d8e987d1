"""What an attack raises: one number per row, larger when the true label is less likely."""

import jax
import jax.numpy as jnp

from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Labels, Level, Logits


@pytree
class CrossEntropy:
    """-log p(y | x)."""

    def __call__(self, logits: Logits, y: Labels) -> Level:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)[:, 0]


@pytree
class Margin:
    """Largest other logit minus the true one (Carlini & Wagner 2017, f6 without the clamp)."""

    def __call__(self, logits: Logits, y: Labels) -> Level:
        true = jax.nn.one_hot(y, logits.shape[1], dtype=bool)
        others = jnp.max(jnp.where(true, -jnp.inf, logits), axis=1)
        return others - jnp.sum(jnp.where(true, logits, 0.0), axis=1)
