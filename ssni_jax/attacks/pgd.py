"""Projected gradient ascent (Madry et al. 2018); what it raises is an objective, where it may go a threat model."""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.restarts import check_runs, is_restart, start_keys
from ssni_jax.attacks.threats import Linf, Threat
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import as_pixels, bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Level


class PgdState(NamedTuple):
    """The iterate, the loss and answers seen before the last move, and the best iterate so far with its own."""

    x: Images
    loss: Level
    broken: Level
    best: Images
    best_loss: Level
    best_broken: Level
    n_queries: Int[Array, " B"]


@pytree
class Pgd:
    """`n_steps` of size `step_size` inside `threat`, `n_restarts` times.

    With keep="last" the result is the last iterate, as published for randomized defences; with keep="best" the iterate
    with the highest mean loss among those that were evaluated, over all restarts. Restarts begin at random points.
    """

    threat: Threat = Linf()
    step_size: float = bounded(0, hint=as_pixels, default=0.007)
    n_steps: int = static(default=20)
    random_start: bool = static(default=False)
    n_restarts: int = static(default=1)
    keep: Literal["last", "best"] = static(default="last")

    def __post_init__(self):
        check_runs("PGD", self.n_steps, self.n_restarts)
        if self.n_restarts > 1 and (self.keep != "best" or not self.random_start):
            raise ValueError(f'{self.n_restarts} restarts need keep="best" and random_start=True: they would be equal.')

    @property
    def n_iterations(self) -> int:
        return self.n_steps * self.n_restarts

    def init(self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None) -> PgdState:
        drawn = self.threat.start(fold(keys, 0), x) if self.random_start else x
        begin = drawn if start is None else start
        lowest, none = jnp.full(len(x), -jnp.inf), jnp.zeros(len(x))
        return PgdState(begin, lowest, none, begin, lowest, none, jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: PgdState, x: Images, y: Labels) -> PgdState:
        current = self._restarted(keys, i, state.x, x)
        ascent = objective.ascend(objective.draw_keys(keys, i), current, y)
        moved = self.threat.project(current + self.step_size * self.threat.direction(ascent.gradient), x)
        better = ascent.loss > state.best_loss
        return PgdState(
            moved,
            ascent.loss,
            ascent.wrong,
            jnp.where(over(better, x), current, state.best),
            jnp.where(better, ascent.loss, state.best_loss),
            jnp.where(better, ascent.wrong, state.best_broken),
            state.n_queries + objective.n_draws,
        )

    def result(self, state: PgdState) -> Attacked:
        if self.keep == "last":
            return Attacked(state.x, state.loss, state.broken, state.n_queries)
        return Attacked(state.best, state.best_loss, state.best_broken, state.n_queries)

    def _restarted(self, keys: Keys, i: Any, current: Images, x: Images) -> Images:
        """The current iterate, or a fresh random one where a restart begins."""
        if self.n_restarts == 1:
            return current
        begins = is_restart(i, self.n_steps)
        return jnp.where(begins, self.threat.start(start_keys(keys, i), x), current)
