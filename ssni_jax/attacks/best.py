"""The best iterate so far, which attacks that keep it carry in their state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

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
    return _replaced(best, Best(image, loss, broken), (loss > best.loss) & valid)


def stronger(best: Best, image: Images, loss: Level, broken: Level, valid: Any = True) -> Best:
    """`best`, replaced in the rows where `valid` holds and more draws are wrong, or as many and the loss is higher."""
    tied = broken == best.broken
    return _replaced(best, Best(image, loss, broken), ((broken > best.broken) | (tied & (loss > best.loss))) & valid)


def _replaced(best: Best, other: Best, rows: Bool[Array, " B"]) -> Best:
    """`other` in these rows."""
    return jax.tree.map(lambda new, old: jnp.where(over(rows, new), new, old), other, best)
