"""Square windows at a place per row, and the patterns that the Square attack puts into them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ssni_jax.core.types import Images, Keys

Map = Float[Array, "B H W 1"]
N_TILES = 5  # per side of the first image


class Window(NamedTuple):
    """One window per row: pixel coordinates counted from its corner, side, and whether its pattern is transposed."""

    u: Int[Array, "B H W 1"]
    v: Int[Array, "B H W 1"]
    side: Int[Array, ""]
    transposed: Bool[Array, "B 1 1 1"]

    @property
    def mask(self) -> Map:
        """1 inside."""
        inside = (self.u >= 0) & (self.u < self.side) & (self.v >= 0) & (self.v < self.side)
        return inside.astype(jnp.float32)

    def pattern(self, power: int) -> Map:
        """Two halves of opposite sign that decay from their centres, of norm 1; outside of the window 0.

        A pixel at Chebyshev distance r from its half's centre has the sum of 1 / (k + 1)^power over k from r on.
        """
        along = jnp.where(self.transposed, self.v, self.u)
        across = jnp.where(self.transposed, self.u, self.v)
        upper = self.side // 2
        table = jnp.asarray(np.concatenate([[0.0], np.cumsum((1.0 + np.arange(self.u.shape[1] + 1)) ** -power)]))
        first = _half(table, along, across, upper, self.side) * (along < upper)
        second = _half(table, along - upper, across, self.side - upper, self.side) * (along >= upper)
        halves = [half / _size(half, power) for half in (first * self.mask, second * self.mask)]
        both = halves[0] - halves[1]
        return both / _size(both, power)


def random_window(keys: Keys, side: Any, x: Images) -> Window:
    """A window of this side somewhere in each row of x."""
    height, width = x.shape[1:3]
    places = jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys)
    top, left = ((places[:, k] * (n + 1 - side)).astype(jnp.int32) for k, n in enumerate((height, width)))
    return window_at(top, left, side, places[:, 2] < 0.5, x)


def window_at(top: Any, left: Any, side: Any, transposed: Bool[Array, " B"], x: Images) -> Window:
    """A window of this side at these corners, one per row."""
    shape = (len(x), *x.shape[1:3], 1)
    u = jnp.broadcast_to(jnp.arange(shape[1])[None, :, None, None] - top[:, None, None, None], shape)
    v = jnp.broadcast_to(jnp.arange(shape[2])[None, None, :, None] - left[:, None, None, None], shape)
    return Window(u, v, jnp.asarray(side), transposed[:, None, None, None])


def tiles(keys: Keys, x: Images, power: int) -> Images:
    """Patterns side by side over the whole image, with a random sign per tile and channel."""
    height, width, channels = x.shape[1:]
    side = max(min(height, width) // N_TILES, 1)
    rows, columns = height // side, width // side
    corner = jnp.zeros(1, jnp.int32)
    tile = window_at(corner, corner, side, jnp.full(1, False), jnp.zeros((1, side, side, 1))).pattern(power)
    signs = random_signs(keys, (rows, columns, channels))
    change = jnp.tile(tile, (1, rows, columns, 1)) * jnp.repeat(jnp.repeat(signs, side, axis=1), side, axis=2)
    margins = [(n % side // 2, n % side - n % side // 2) for n in (height, width)]
    return jnp.pad(change, ((0, 0), *margins, (0, 0)))


def random_signs(keys: Keys, shape: tuple[int, ...]) -> Float[Array, "B ..."]:
    """-1 or 1 in this shape, row r from key r alone."""
    return jax.vmap(lambda key: jax.random.rademacher(key, shape, jnp.float32))(keys)


def _half(table: Float[Array, " n"], u: Any, v: Any, height: Any, width: Any) -> Map:
    """The decaying pattern of a rectangle, before it is divided by its norm."""
    distance = jnp.maximum(jnp.abs(u - height // 2), jnp.abs(v - width // 2))
    last = jnp.maximum(height // 2, width // 2) + 1
    return jnp.where(distance < last, table[last] - table[jnp.clip(distance, 0, len(table) - 1)], 0.0)


def _size(pattern: Map, power: int) -> Float[Array, "B 1 1 1"]:
    """The Euclidean norm for the squared decay, the sum of absolute values for the fourth; 1 for nothing."""
    size = (
        jnp.sqrt(jnp.sum(pattern**2, axis=(1, 2, 3), keepdims=True))
        if power == 2
        else jnp.sum(jnp.abs(pattern), axis=(1, 2, 3), keepdims=True)
    )
    return jnp.where(size == 0, 1.0, size)
