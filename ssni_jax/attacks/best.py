"""The best iterate so far, which attacks that keep it carry in their state."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from ssni_jax.core.arrays import over
from ssni_jax.core.types import Images, Level


class Best(NamedTuple):
    """The image with the highest mean loss so far, that loss, and its share of wrong draws, per row."""

    image: Images
    loss: Level
    broken: Level


def unbeaten(x: Images) -> Best:
    """The clean image, which the first valid iterate with a finite loss replaces."""
    return Best(x, jnp.full(len(x), -jnp.inf), jnp.zeros(len(x)))


def better(best: Best, image: Images, loss: Level, broken: Level, valid: Any = True) -> Best:
    """`best`, replaced in the rows where `valid` holds and the loss is higher; a NaN loss replaces nothing."""
    replace = (loss > best.loss) & valid
    return Best(
        jnp.where(over(replace, image), image, best.image),
        jnp.where(replace, loss, best.loss),
        jnp.where(replace, broken, best.broken),
    )
