"""Two equations with sums of clipped lines, solved exactly per row by sorting: projections of attacks need them."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.types import Level

Values = Float[Array, "B n"]


def filled(slope: Values, cap: Values, total: Level) -> Level:
    """The smallest s >= 0 with sum_i min(s * slope_i, cap_i) = total; the largest useful s where the caps sum to less.

    slope and cap are not negative, and a slope of zero comes with a cap of zero.
    """
    end = cap / jnp.where(slope == 0, 1.0, slope)  # where each line reaches its cap
    order = jnp.argsort(end, axis=1)
    end, slope, cap = (jnp.take_along_axis(v, order, axis=1) for v in (end, slope, cap))
    rest = jnp.flip(jnp.cumsum(jnp.flip(slope, 1), axis=1), 1)  # slope of all lines that have not ended before
    before = jnp.cumsum(cap, axis=1) - cap  # what ended lines contribute
    candidate = (total[:, None] - before) / jnp.where(rest == 0, 1.0, rest)
    first = jnp.argmax(candidate <= end, axis=1)[:, None]
    reaches = jnp.any(candidate <= end, axis=1)
    return jnp.where(reaches, jnp.take_along_axis(candidate, first, axis=1)[:, 0], end[:, -1])


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
