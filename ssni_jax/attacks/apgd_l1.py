"""Auto-PGD in the L1 ball (Croce & Hein 2021, arXiv:2103.01208): sparse steps, and radii that shrink to eps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.best import Best, stronger, unbeaten
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.piecewise import cutoff
from ssni_jax.attacks.restarts import check_runs, is_restart, start_keys
from ssni_jax.attacks.threats import L1
from ssni_jax.core.arrays import over
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Keys, Labels, Level

DENSITY = 0.2  # share of the pixels that the first steps change
SHRINK = 1.5  # of the step, and of the number of pixels against that of the best point
SPARSER = 0.95  # where fewer than this share of the pixels are left, a check restarts from the best point


class SparseClimb(NamedTuple):
    """One run from one start: the iterate, its best point with loss and gradient, the step, and pixels per step.

    `density` is the share of the pixels that a step changes, `n_before` how many the best point had changed at the last
    check.
    """

    x: Images
    step: Level
    best: Images
    best_loss: Level
    best_gradient: Images
    density: Level
    n_before: Level


class ApgdL1State(NamedTuple):
    """The run in progress, and the strongest image of all runs."""

    climb: SparseClimb
    strongest: Best
    n_queries: Int[Array, " B"]


@pytree
class ApgdL1:
    """`n_steps` of sparse sign steps from a random start, `n_restarts` times.

    A step changes the pixels of the largest gradients, in number two thirds of those that the best point has changed.
    At every check the step shrinks by 1.5, down to eps / 10, or begins again at eps from the best point where that has
    become sparser. With `from_outside`, as AutoAttack has it, 30 % of the steps are made in the ball of radius 3 eps,
    30 % in that of 2 eps, and only the rest, which alone counts, in that of eps.
    """

    threat: L1 = L1()
    n_steps: int = static(default=100)
    n_restarts: int = static(default=1)
    from_outside: bool = static(default=False)

    def __post_init__(self):
        check_runs("APGD", self.n_steps, self.n_restarts)

    @property
    def n_iterations(self) -> int:
        """One more than the steps per run: the last point is evaluated too."""
        return (self.n_steps + 1) * self.n_restarts

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> ApgdL1State:
        climb = self._begun(self._random(start_keys(keys), x) if start is None else start)
        return ApgdL1State(climb, unbeaten(x), jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: ApgdL1State, x: Images, y: Labels) -> ApgdL1State:
        step = i % (self.n_steps + 1)
        factors, begins, checks = (jnp.asarray(table)[step] for table in self._tables())
        ball = jax.tree.map(lambda eps: factors * eps, self.threat)
        climb = self._restarted(keys, i, state.climb, x)
        climb = jax.lax.cond(begins, lambda: self._entered(ball, climb, x), lambda: climb)
        ascent = objective.ascend(objective.draw_keys(keys, i), climb.x, y)
        strongest = stronger(state.strongest, climb.x, ascent.loss, ascent.wrong, valid=factors == 1)
        climb = _recorded(climb, ascent.loss, ascent.gradient)
        climb, gradient = _checked(checks, climb, ascent.gradient, ball, x)
        moved = ball.project(climb.x + over(climb.step, x) * _sparse_sign(gradient, climb.density), x)
        return ApgdL1State(climb._replace(x=moved), strongest, state.n_queries + objective.n_draws)

    def result(self, state: ApgdL1State) -> Attacked:
        return Attacked(*state.strongest, state.n_queries)

    def _random(self, keys: Keys, x: Images) -> Images:
        """Where a run begins."""
        return self._first_ball.spread(keys, x)

    @property
    def _first_ball(self) -> L1:
        """The ball of the first phase."""
        factor = float(self._tables()[0][0])
        return jax.tree.map(lambda eps: factor * eps, self.threat)

    def _begun(self, start: Images) -> SparseClimb:
        """A run before its first evaluation."""
        n, lowest = len(start), jnp.full(len(start), -jnp.inf)
        step, density = jnp.full(n, 1.0 * self._first_ball.eps), jnp.full(n, DENSITY)
        n_before = jnp.full(n, 1.0 * start[0].size)
        return SparseClimb(start, step, start, lowest, jnp.zeros_like(start), density, n_before)

    def _restarted(self, keys: Keys, i: Any, climb: SparseClimb, x: Images) -> SparseClimb:
        """The run in progress, or a new one where a restart begins."""
        if self.n_restarts == 1:
            return climb
        begins = is_restart(i, self.n_steps + 1)
        return jax.lax.cond(begins, lambda: self._begun(self._random(start_keys(keys, i), x)), lambda: climb)

    def _entered(self, ball: L1, climb: SparseClimb, x: Images) -> SparseClimb:
        """The run at the beginning of the phase in `ball`: its best point, projected, is the start."""
        start = ball.project(climb.best, x)
        n_changed = _n_changed(start, x)
        return climb._replace(
            x=start,
            step=jnp.broadcast_to(ball.eps, len(x)) * 1.0,
            best=start,
            best_loss=jnp.full(len(x), -jnp.inf),
            density=n_changed / x[0].size / SHRINK,
            n_before=n_changed,
        )

    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By number of steps made: radius over eps, whether a later phase begins, whether a check is due."""
        n = self.n_steps
        first = second = int(np.ceil(0.3 * n)) if self.from_outside else 0
        lengths = [length for length in (first, second, n + 1 - first - second) if length > 0]
        factors = np.repeat(np.arange(len(lengths), 0, -1, dtype=np.float32), lengths)
        begins = np.diff(factors, prepend=factors[0]) != 0
        within = np.concatenate([np.arange(length) for length in lengths])
        every = np.repeat([max(int(0.04 * length), 1) for length in lengths], lengths)
        return factors, begins, (within > 0) & (within % every == 0)


def _recorded(climb: SparseClimb, loss: Level, gradient: Images) -> SparseClimb:
    """The run after its present point was evaluated."""
    higher = loss > climb.best_loss
    return climb._replace(
        best=jnp.where(over(higher, gradient), climb.x, climb.best),
        best_loss=jnp.where(higher, loss, climb.best_loss),
        best_gradient=jnp.where(over(higher, gradient), gradient, climb.best_gradient),
    )


def _checked(due: Any, climb: SparseClimb, gradient: Images, ball: L1, x: Images) -> tuple[SparseClimb, Images]:
    """The run and the gradient to follow, after a check if one is due."""
    n_changed = _n_changed(climb.best, x)
    restarts = due & (n_changed / climb.n_before < SPARSER)
    smaller = jnp.clip(climb.step / SHRINK, ball.eps / 10, ball.eps)
    climb = climb._replace(
        x=jnp.where(over(restarts, x), climb.best, climb.x),
        step=jnp.where(restarts, ball.eps, jnp.where(due, smaller, climb.step)),
        density=jnp.where(due, n_changed / x[0].size / SHRINK, climb.density),
        n_before=jnp.where(due, n_changed, climb.n_before),
    )
    return climb, jnp.where(over(restarts, gradient), climb.best_gradient, gradient)


def _n_changed(point: Images, x: Images) -> Level:
    """How many values of each row differ from those of x; at least one, by which one divides."""
    return jnp.maximum(jnp.sum(point != x, axis=(1, 2, 3)), 1).astype(x.dtype)


def _sparse_sign(gradient: Images, density: Level) -> Images:
    """The signs of the largest values of each row, this share of them, divided by their number."""
    size = jnp.abs(gradient).reshape(len(gradient), -1)
    n = size.shape[1]
    n_kept = n - jnp.clip((1 - density) * n, 0, n - 1).astype(jnp.int32)
    threshold = cutoff(size, jnp.ones_like(size), n_kept.astype(size.dtype))
    sign = jnp.sign(jnp.where(jnp.abs(gradient) >= over(threshold, gradient), gradient, 0.0))
    return sign / over(jnp.maximum(jnp.sum(jnp.abs(sign), axis=(1, 2, 3)), 1.0), gradient)
