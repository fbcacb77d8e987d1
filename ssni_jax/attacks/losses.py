"""What an attack raises: one number per row of a trace, larger when the true label is less likely."""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from ssni_jax.core.protocols import Trace
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Labels, Level


@runtime_checkable
class TraceLoss(Protocol):
    """A loss with one number per row; it may look at scores, t, score norm and whatever else a trace shows."""

    def __call__(self, trace: Trace, y: Labels) -> Level: ...


@pytree
class CrossEntropy:
    """-log p(y | x)."""

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return -jnp.take_along_axis(jax.nn.log_softmax(trace.scores), y[:, None], axis=1)[:, 0]


@pytree
class Margin:
    """Largest other score minus the true one (Carlini & Wagner 2017, f6 without the clamp)."""

    def __call__(self, trace: Trace, y: Labels) -> Level:
        true = jax.nn.one_hot(y, trace.scores.shape[1], dtype=bool)
        others = jnp.max(jnp.where(true, -jnp.inf, trace.scores), axis=1)
        return others - jnp.sum(jnp.where(true, trace.scores, 0.0), axis=1)
