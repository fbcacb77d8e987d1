"""Ragged time with gradients: rows sorted by their number of steps, walked in a few buckets of similar ones."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ssni_jax.core.arrays import take_rows
from ssni_jax.core.protocols import Step
from ssni_jax.core.rng import fold
from ssni_jax.core.types import DenoiseFn, Keys, Levels, State
from ssni_jax.solvers.ragged import moves
from ssni_jax.solvers.solve import advance

Bucket = Int[Array, " S"]


def solve(
    keys: Keys, denoise_at: Callable[[Bucket], DenoiseFn], step: Step, x: State, levels: Levels, *, n_buckets: int = 4
) -> State:
    """The result and the gradients of `solve.solve`; a bucket pays for its longest sample, not for the batch's.

    `denoise_at(rows)` is the denoiser of those rows of the batch. Each sample's nonzero steps come first, so idle ones
    may stand anywhere in its column. Memory is that of `solve.solve`.
    """
    count, row = moves(levels)
    order = jnp.argsort(-count, stable=True)
    buckets = _dealt(order, n_buckets)

    def walk(bucket: Bucket) -> State:
        def body(x, position):
            at = row[position, bucket]
            hi, lo = levels[at, bucket], levels[at + 1, bucket]
            busy = position < count[bucket]
            ends = (jnp.where(busy, hi, 0.0), jnp.where(busy, lo, 0.0))
            move = lambda x: advance(fold(keys[bucket], at), denoise_at(bucket), step, x, ends)  # noqa: E731
            return jax.lax.cond(_any_of_any_draw(busy), move, lambda x: x, x), None

        return jax.lax.scan(jax.checkpoint(body), take_rows(x, bucket), jnp.arange(levels.shape[0] - 1))[0]

    solved = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), jax.lax.map(walk, buckets))
    return take_rows(solved, jnp.argsort(order))


def _dealt(order: Int[Array, " B"], n_buckets: int) -> Int[Array, "M S"]:
    """Equal buckets of neighbours; the shortest sample fills the last ones, and what it gives there is left out."""
    n_buckets = min(n_buckets, len(order))
    size = -(-len(order) // n_buckets)
    return jnp.pad(order, (0, -len(order) % size), mode="edge").reshape(-1, size)


@jax.custom_batching.custom_vmap
def _any_of_any_draw(busy: Bool[Array, " S"]) -> Bool[Array, ""]:
    """Whether a row still moves; under `vmap` over draws one answer for all, or `cond` would run both its branches."""
    return jnp.any(busy)


@_any_of_any_draw.def_vmap
def _over_draws(axis_size, in_batched, busy):
    return _any_of_any_draw(jnp.any(busy, axis=0) if in_batched[0] else busy), False
