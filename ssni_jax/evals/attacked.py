"""Driving an attack over a mesh, a compiled chunk of iterations at a time, with its curve."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Shaped

from ssni_jax.attacks import Attack, Attacked, Objective
from ssni_jax.core.types import Images, Keys, Labels, Tree
from ssni_jax.dist import by_rows, whole
from ssni_jax.evals.sharing import SharedJit

LONGEST_CHUNK = 25
STATE = 4  # the argument of `advance` that is given away

Curves = Float[Array, "n B"]


class Chunk(NamedTuple):
    """The state after some iterations, and mean loss and broken share of every row in each of them, [n, B].

    In a last chunk that is shorter, rows beyond the last iteration are NaN.
    """

    state: Tree
    loss: Curves
    broken: Curves


class ChunkSummary(NamedTuple):
    """Means over the rows that are images after each iteration of a chunk, and whether the last one broke them all."""

    loss: Float[Array, " n"]
    broken: Float[Array, " n"]
    is_over: Bool[Array, ""]


class Driver(NamedTuple):
    """Compiled functions of an attack over a mesh.

    `init(attack, objective, keys, x, y)` gives the state, `advance(attack, objective, keys, i, state, x, y)` makes the
    `n_chunk` iterations from i on, or those that are left, and `result(attack, state)` shows where the attack stands.
    `summary(loss, broken, last, mask, falls_at)` sums up the curves of a chunk with iterations 0 to `last`; rows where
    `mask` is zero are padding, and more than a share `falls_at` of wrong draws breaks an image.
    """

    n_chunk: int
    init: Callable[..., Tree]
    advance: Callable[..., Chunk]
    result: Callable[..., Attacked]
    summary: Callable[..., ChunkSummary]


def make_driver(mesh: Mesh, attack: Attack, n_chunk: int | None = None, stops_every: int | None = None) -> Driver:
    """The driver of an attack, `n_chunk` iterations at a time; None for the longest chunk that the backend is good at.

    That is one iteration on a CPU, whose compiler is slow with convolutions in loops. A chunk ends wherever
    `stops_every` divides the number of iterations made.
    """
    if n_chunk is None:
        n_chunk = 1 if platform_of(mesh) == "cpu" else _longest(attack.n_iterations, stops_every)

    def init(values: tuple[Attack, Objective], keys: Keys, x: Images, y: Labels) -> Tree:
        attack, objective = values
        return attack.init(keys, objective, x, y)

    def advance(values: tuple[Attack, Objective, Any], keys: Keys, state: Tree, x: Images, y: Labels) -> Any:
        attack, objective, start = values

        def iterate(k: Any, state: Tree) -> tuple[Tree, Attacked]:
            state = attack.update(keys, start + k, objective, state, x, y)
            return state, attack.result(state)

        # XLA compiles convolution gradients in loops badly on CPUs, even in an unrolled scan of one iteration.
        if n_chunk == 1:
            state, shown = iterate(0, state)
            return state, shown.loss[:, None], shown.broken[:, None]

        def recorded(k: Any, carry: Any) -> Any:
            state, loss, broken = carry
            state, shown = iterate(k, state)
            return state, loss.at[:, k].set(shown.loss), broken.at[:, k].set(shown.broken)

        empty = jnp.full((len(x), n_chunk), jnp.nan)
        return jax.lax.fori_loop(0, jnp.minimum(n_chunk, attack.n_iterations - start), recorded, (state, empty, empty))

    def advanced(attack: Attack, objective: Objective, keys: Keys, i: Any, state: Tree, x: Images, y: Labels) -> Chunk:
        state, loss, broken = by_rows(mesh, advance)((attack, objective, i), keys, state, x, y)
        return Chunk(state, loss.T, broken.T)

    def begun(attack: Attack, objective: Objective, keys: Keys, x: Images, y: Labels) -> Tree:
        return by_rows(mesh, init)((attack, objective), keys, x, y)

    return Driver(
        n_chunk,
        SharedJit(begun),
        SharedJit(advanced, donate=(STATE,)),
        SharedJit(lambda attack, state: by_rows(mesh, lambda attack, state: attack.result(state))(attack, state)),
        SharedJit(_summary, out_shardings=whole(mesh)),
    )


def platform_of(mesh: Mesh) -> str:
    """What the devices of a mesh are: "cpu", "gpu" or "tpu"."""
    return mesh.devices.flat[0].platform


def _summary(loss: Curves, broken: Curves, last: Any, mask: Shaped[Array, " B"], falls_at: Any) -> ChunkSummary:
    weights = mask.astype(loss.dtype)
    mean_loss, mean_broken = (jnp.sum(values * weights, axis=1) / jnp.sum(weights) for values in (loss, broken))
    return ChunkSummary(mean_loss, mean_broken, jnp.all((broken[last] > falls_at) | (weights == 0)))


def _longest(n_iterations: int, stops_every: int | None) -> int:
    """The longest chunk for so many iterations; one that divides `stops_every` where that is given."""
    top = min(n_iterations, LONGEST_CHUNK)
    if stops_every is None:
        return top
    return max(k for k in range(1, min(top, stops_every) + 1) if stops_every % k == 0)
