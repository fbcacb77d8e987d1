"""The solver that charges every sample only its own steps: a fixed number of slots, refilled from a queue."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ssni_jax.core.arrays import choose_rows, take_rows
from ssni_jax.core.protocols import Step
from ssni_jax.core.rng import fold
from ssni_jax.core.types import DenoiseFn, Keys, Levels, State
from ssni_jax.solvers.solve import IDLE_HI, advance

Slots = Int[Array, " S"]


class Solved(NamedTuple):
    """States at the end of their grids; slots times `n_iterations` are the network rows paid."""

    x: State
    n_iterations: Int[Array, ""]


class _Plan(NamedTuple):
    """Per sample: how many steps move it, which rows of its grid they are, and its turn in the queue."""

    count: Int[Array, " B"]
    row: Int[Array, "N B"]
    queue: Int[Array, " B"]
    n_queued: Int[Array, ""]


class _Queue(NamedTuple):
    sample: Slots
    position: Slots
    x: State
    n_taken: Int[Array, ""]
    solved: State
    n_iterations: Int[Array, ""]


def solve(
    keys: Keys, denoise_at: Callable[[Slots], DenoiseFn], step: Step, x: State, levels: Levels, *, n_slots: int = 16
) -> Solved:
    """The same result as `solve.solve` for the same keys, with one network row a nonzero step; no gradient.

    `denoise_at(rows)` is the denoiser of those rows of the batch (a guide may differ by row). Long samples start
    first, so that few slots idle at the end.
    """
    plan = _plan(levels)

    def body(state: _Queue) -> _Queue:
        busy = state.position < plan.count[state.sample]
        at = plan.row[jnp.minimum(state.position, plan.row.shape[0] - 1), state.sample]
        hi, lo = (jnp.where(busy, levels[row, state.sample], IDLE_HI) for row in (at, at + 1))
        moved = advance(fold(keys[state.sample], at), denoise_at(state.sample), step, state.x, (hi, lo))
        return _refill(plan, x, state._replace(x=moved, position=state.position + busy), busy)

    def unfinished(state: _Queue):
        return jnp.any(state.position < plan.count[state.sample])

    end = jax.lax.while_loop(unfinished, body, _start(plan, x, min(n_slots, levels.shape[1])))
    return Solved(end.solved, end.n_iterations)


def moves(levels: Levels) -> tuple[Int[Array, " B"], Int[Array, "M B"]]:
    """Per sample, how many steps move it, and the rows of its grid with those first, in order."""
    moving = levels[:-1] != levels[1:]
    return jnp.sum(moving, axis=0), jnp.argsort(~moving, axis=0, stable=True)


def _plan(levels: Levels) -> _Plan:
    count, row = moves(levels)
    return _Plan(count, row, jnp.argsort(-count, stable=True), jnp.sum(count > 0))


def _start(plan: _Plan, x: State, n_slots: int) -> _Queue:
    first = plan.queue[:n_slots]
    n_taken = jnp.minimum(n_slots, plan.n_queued)
    return _Queue(first, jnp.zeros_like(first), take_rows(x, first), n_taken, x, jnp.zeros_like(n_taken))


def _refill(plan: _Plan, x: State, state: _Queue, busy: Bool[Array, " S"]) -> _Queue:
    """Finished slots write their state and take the next sample of the queue, if one is left."""
    n = len(plan.count)
    finished = busy & (state.position >= plan.count[state.sample])
    place = jnp.where(finished, state.sample, n)
    solved = jax.tree.map(lambda all, part: all.at[place].set(part, mode="drop"), state.solved, state.x)
    turn = state.n_taken + jnp.cumsum(finished) - 1
    fresh = finished & (turn < plan.n_queued)
    sample = jnp.where(fresh, plan.queue[jnp.minimum(turn, n - 1)], state.sample)
    begun = choose_rows(fresh, take_rows(x, sample), state.x)
    n_taken = jnp.minimum(state.n_taken + jnp.sum(finished), plan.n_queued)
    return _Queue(sample, jnp.where(fresh, 0, state.position), begun, n_taken, solved, state.n_iterations + 1)


def deal(cost: Float[Array, " B"] | Int[Array, " B"], n_parts: int) -> Int[Array, " B"]:
    """A permutation that deals samples to `n_parts` equal consecutive parts with balanced sums of cost.

    Longest first, back and forth over the parts, as cards are dealt in a snake draft.
    """
    order = jnp.argsort(-cost, stable=True).reshape(-1, n_parts)
    backwards = (jnp.arange(order.shape[0]) % 2 == 1)[:, None]
    return jnp.where(backwards, order[:, ::-1], order).T.reshape(-1)
