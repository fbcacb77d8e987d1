"""Two equations with sums of clipped lines, solved exactly per row: projections of attacks need them."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ssni_jax.core.types import Level

Values = Float[Array, "B n"]


def filled(slope: Values, cap: Values, total: Level) -> Level:
    """The smallest s >= 0 with sum_i min(s * slope_i, cap_i) = total; the largest useful s where the caps sum to less.

    slope and cap are not negative, and a slope of zero comes with a cap of zero. The sum is concave in s, so that
    Newton's method from zero never steps beyond the solution, and ends there once it meets no further cap.
    """
    end = cap / jnp.where(slope == 0, 1.0, slope)  # where each line reaches its cap

    def step(carry: tuple[Level, Bool[Array, "B n"], Any]) -> tuple[Level, Bool[Array, "B n"], Any]:
        s, rising, _ = carry
        steepness = jnp.sum(jnp.where(rising, slope, 0.0), axis=1)
        rest = total - jnp.sum(jnp.where(rising, 0.0, cap), axis=1)
        s = jnp.where(steepness > 0, rest / jnp.where(steepness > 0, steepness, 1.0), s)
        left = rising & (end > s[:, None])
        return s, left, jnp.any(left != rising)

    begin = jnp.zeros(len(slope)), end > 0, jnp.asarray(True)
    s, _, _ = jax.lax.while_loop(lambda carry: carry[2], step, begin)
    return jnp.minimum(s, jnp.max(end, axis=1))


def excess(size: Values, room: Values, total: Level) -> Level:
    """The smallest s >= 0 with sum_i clip(size_i - s, 0, room_i) <= total; sizes and rooms are not negative.

    The sum falls in s along straight pieces that begin at size_i - room_i and end at size_i.
    """
    begins = jnp.maximum(size - room, 0.0)
    ends = jnp.maximum(size, begins)
    at = jnp.concatenate([begins, ends], axis=1)
    turn = jnp.concatenate([-jnp.ones_like(size), jnp.ones_like(size)], axis=1)
    order = jnp.argsort(at, axis=1)
    at, turn = (jnp.take_along_axis(v, order, axis=1) for v in (at, turn))
    slope = jnp.cumsum(turn, axis=1)  # of the piece that begins at each place
    lengths = jnp.diff(at, axis=1, append=at[:, -1:])
    whole = jnp.sum(jnp.minimum(size, room), axis=1)
    value = whole[:, None] + jnp.cumsum(slope * lengths, axis=1) - slope * lengths  # of the sum at each place
    last = jnp.sum(value > total[:, None], axis=1) - 1  # the piece on which the sum falls to the total
    at, slope, value = (jnp.take_along_axis(v, jnp.maximum(last, 0)[:, None], axis=1)[:, 0] for v in (at, slope, value))
    crossing = at + (value - total) / jnp.maximum(-slope, 1.0)
    return jnp.where(last < 0, 0.0, crossing)
