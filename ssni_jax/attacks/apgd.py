"""Auto-PGD in the Linf and L2 balls (Croce & Hein 2020, arXiv:2003.01690, algorithm 1): no step size to choose."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.best import Best, stronger, unbeaten
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.restarts import check_runs, is_restart, start_keys
from ssni_jax.attacks.threats import Linf, Threat
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Keys, Labels, Level

MOMENTUM = 0.75


class Climb(NamedTuple):
    """One run from one start: two iterates, the step size, the highest loss with its gradient, and what checks count.

    `n_rises` counts iterations since the last check that raised the loss; `halved` and `best_before` are what the last
    check did and saw.
    """

    x: Images
    before: Images
    loss: Level
    step: Level
    best: Images
    best_loss: Level
    best_gradient: Images
    n_rises: Int[Array, " B"]
    halved: Bool[Array, " B"]
    best_before: Level


class ApgdState(NamedTuple):
    """The run in progress, and the strongest image of all runs."""

    climb: Climb
    strongest: Best
    n_queries: Int[Array, " B"]


@pytree
class Apgd:
    """`n_steps` with momentum from a random start on the boundary, `n_restarts` times, with a step that halves itself.

    A row's step begins at 2 eps. At checkpoints it is halved, and the row goes back to its best point, where fewer than
    a share `rho` of the iterations raised the loss or where the last check changed nothing and the best loss neither.
    The result is the image with the largest share of wrong draws, of equal ones that with the highest mean loss; with
    one draw that is a misclassified iterate wherever there was one.
    """

    threat: Threat = Linf()
    n_steps: int = static(default=100)
    n_restarts: int = static(default=1)
    rho: float = bounded(0, 1, default=0.75)

    def __post_init__(self):
        check_runs("APGD", self.n_steps, self.n_restarts)

    @property
    def n_iterations(self) -> int:
        """One more than the steps per run: the last point is evaluated too."""
        return (self.n_steps + 1) * self.n_restarts

    def init(self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None) -> ApgdState:
        climb = self._begun(self.threat.spread(start_keys(keys), x) if start is None else start)
        return ApgdState(climb, unbeaten(x), jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: ApgdState, x: Images, y: Labels) -> ApgdState:
        step = i % (self.n_steps + 1)
        climb = self._restarted(keys, i, state.climb, x)
        ascent = objective.ascend(objective.draw_keys(keys, i), climb.x, y)
        seen = stronger(state.strongest, climb.x, ascent.loss, ascent.wrong)
        climb, gradient = self._checked(step, _recorded(climb, ascent.loss, ascent.gradient), ascent.gradient)
        moved = self._moved(jnp.where(step == 0, 1.0, MOMENTUM), climb, gradient, x)
        climb = climb._replace(x=moved, before=climb.x)
        return ApgdState(climb, seen, state.n_queries + objective.n_draws)

    def result(self, state: ApgdState) -> Attacked:
        return Attacked(*state.strongest, state.n_queries)

    def _begun(self, start: Images) -> Climb:
        """A run before its first evaluation."""
        n, lowest = len(start), jnp.full(len(start), -jnp.inf)
        step, none = jnp.full(n, 2.0 * self.threat.eps), jnp.zeros(n, jnp.int32)
        return Climb(start, start, lowest, step, start, lowest, jnp.zeros_like(start), none, none == 0, lowest)

    def _restarted(self, keys: Keys, i: Any, climb: Climb, x: Images) -> Climb:
        """The run in progress, or a new one where a restart begins."""
        if self.n_restarts == 1:
            return climb
        begins = is_restart(i, self.n_steps + 1)
        return jax.lax.cond(begins, lambda: self._begun(self.threat.spread(start_keys(keys, i), x)), lambda: climb)

    def _checked(self, step: Any, climb: Climb, gradient: Images) -> tuple[Climb, Images]:
        """The run and the gradient to follow, after the check that is due after this many steps, if one is."""
        lengths = jnp.asarray(checkpoints(self.n_steps))
        due, length = lengths[step] > 0, lengths[step]
        # The start counts as a check: it has no loss before it that could have been improved.
        stalls = climb.n_rises <= self.rho * length
        halve = due & (stalls | (~climb.halved & (climb.best_before >= climb.best_loss)))
        is_check = due | (step == 0)
        climb = climb._replace(
            x=jnp.where(over(halve, climb.x), climb.best, climb.x),
            step=jnp.where(halve, climb.step / 2, climb.step),
            n_rises=jnp.where(is_check, 0, climb.n_rises),
            halved=jnp.where(due, halve, climb.halved),
            best_before=jnp.where(is_check, climb.best_loss, climb.best_before),
        )
        return climb, jnp.where(over(halve, gradient), climb.best_gradient, gradient)

    def _moved(self, share: Any, climb: Climb, gradient: Images, x: Images) -> Images:
        """A projected step, and a share of it joined with the rest of the last one."""
        target = self.threat.project(climb.x + over(climb.step, x) * self.threat.direction(gradient), x)
        mixed = climb.x + share * (target - climb.x) + (1 - share) * (climb.x - climb.before)
        return self.threat.project(mixed, x)


def checkpoints(n_steps: int) -> np.ndarray:
    """After each number of steps, 0 to n_steps, the length of the interval that a check ends there; 0 for no check."""
    lengths = np.zeros(n_steps + 1, np.int32)
    length, shortest, shrink = max(int(0.22 * n_steps), 1), max(int(0.06 * n_steps), 1), max(int(0.03 * n_steps), 1)
    at = length
    while at <= n_steps:
        lengths[at] = length
        length = max(length - shrink, shortest)
        at += length
    return lengths


def _recorded(climb: Climb, loss: Level, gradient: Images) -> Climb:
    """The run after its present point was evaluated."""
    higher = loss > climb.best_loss
    return climb._replace(
        loss=loss,
        n_rises=climb.n_rises + (loss > climb.loss),
        best=jnp.where(over(higher, gradient), climb.x, climb.best),
        best_loss=jnp.where(higher, loss, climb.best_loss),
        best_gradient=jnp.where(over(higher, gradient), gradient, climb.best_gradient),
    )
