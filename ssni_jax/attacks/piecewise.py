"""Thresholds of projections and sparse steps, one per row, found without sorting, which is slow on CPUs."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ssni_jax.core.types import Level

Values = Float[Array, "B n"]
N_HALVINGS = 30


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

    By bisection between 0 and the largest size, until float32 does not tell its ends apart.
    """

    def rest(s: Level) -> Level:
        return jnp.sum(jnp.clip(size - s[:, None], 0.0, room), axis=1) - total

    def halve(_: Any, bracket: tuple[Level, Level]) -> tuple[Level, Level]:
        low, high = bracket
        middle = (low + high) / 2
        is_low = rest(middle) > 0
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    begin = jnp.zeros(len(size)), jnp.max(size, axis=1)
    _, high = jax.lax.fori_loop(0, N_HALVINGS, halve, begin)
    return jnp.where(rest(jnp.zeros(len(size))) > 0, high, 0.0)


def cutoff(values: Values, mass: Values, total: Level) -> Level:
    """The largest value v of each row for which the mass of values >= v is at least total; 0 where all is too little.

    Values and masses are not negative. Floats that are not negative are ordered as their bits are, which are found one
    by one from the highest.
    """
    bits = jax.lax.bitcast_convert_type(values, jnp.int32)

    def set_bit(k: Any, cut: Int[Array, " B"]) -> Int[Array, " B"]:
        higher = cut | (1 << (30 - k))
        reached = jnp.sum(jnp.where(bits >= higher[:, None], mass, 0.0), axis=1) >= total
        return jnp.where(reached, higher, cut)

    cut = jax.lax.fori_loop(0, 31, set_bit, jnp.zeros(len(values), jnp.int32))
    return jax.lax.bitcast_convert_type(cut, values.dtype)
