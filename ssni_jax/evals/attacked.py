"""Driving an attack over a mesh, a compiled chunk of iterations at a time, with its curve."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ssni_jax.attacks import Attack, Attacked, Objective
from ssni_jax.core.types import Images, Keys, Labels, Tree
from ssni_jax.dist import by_rows

LONGEST_CHUNK = 25


class Chunk(NamedTuple):
    """The state after some iterations, and mean loss and broken share of every row in each of them, [n, B]."""

    state: Tree
    loss: Float[Array, "n B"]
    broken: Float[Array, "n B"]


class Driver(NamedTuple):
    """Compiled functions of an attack over a mesh.

    `init(attack, objective, keys, x, y)` gives the state, `advance(attack, objective, keys, i, state, x, y)` makes the
    `n_chunk` iterations from i on, and `result(attack, state)` shows where the attack stands.
    """

    n_chunk: int
    init: Callable[..., Tree]
    advance: Callable[..., Chunk]
    result: Callable[..., Attacked]


def make_driver(mesh: Mesh, attack: Attack, n_chunk: int | None = None, stops_every: int | None = None) -> Driver:
    """The driver of an attack, `n_chunk` iterations at a time; None for the longest chunk that the backend is good at.

    That is one iteration on a CPU, whose compiler is slow with convolutions in loops. A chunk ends wherever
    `stops_every` divides the number of iterations made.
    """
    common = math.gcd(attack.n_iterations, stops_every or 0)
    longest = 1 if jax.default_backend() == "cpu" else _divisor(common)
    n_chunk = longest if n_chunk is None else n_chunk

    def init(values: tuple[Attack, Objective], keys: Keys, x: Images, y: Labels) -> Tree:
        attack, objective = values
        return attack.init(keys, objective, x, y)

    def advance(values: tuple[Attack, Objective, Any], keys: Keys, state: Tree, x: Images, y: Labels) -> Any:
        attack, objective, start = values

        def iterate(state: Tree, i: Any) -> tuple[Tree, Any]:
            state = attack.update(keys, start + i, objective, state, x, y)
            shown = attack.result(state)
            return state, (shown.loss, shown.broken)

        # XLA compiles convolution gradients in loops badly on CPUs, even in an unrolled scan of one iteration.
        if n_chunk == 1:
            state, (loss, broken) = iterate(state, 0)
            return state, loss[:, None], broken[:, None]
        state, (loss, broken) = jax.lax.scan(iterate, state, jnp.arange(n_chunk))
        return state, loss.T, broken.T

    def advanced(attack: Attack, objective: Objective, keys: Keys, i: Any, state: Tree, x: Images, y: Labels) -> Chunk:
        state, loss, broken = by_rows(mesh, advance)((attack, objective, i), keys, state, x, y)
        return Chunk(state, loss.T, broken.T)

    def begun(attack: Attack, objective: Objective, keys: Keys, x: Images, y: Labels) -> Tree:
        return by_rows(mesh, init)((attack, objective), keys, x, y)

    return Driver(
        n_chunk,
        jax.jit(begun),
        jax.jit(advanced, donate_argnames="state"),
        jax.jit(lambda attack, state: by_rows(mesh, lambda attack, state: attack.result(state))(attack, state)),
    )


def _divisor(n: int) -> int:
    """The longest chunk that divides n iterations: all chunks are one program."""
    return max(k for k in range(1, min(n, LONGEST_CHUNK) + 1) if n % k == 0)
