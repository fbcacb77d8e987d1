"""Fast adaptive boundary attack (Croce & Hein 2020, arXiv:1907.02044): the smallest change that is misclassified."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.losses import TargetedMargin
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.restarts import check_runs, is_restart, start_keys
from ssni_jax.attacks.threats import Linf, Threat
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Keys, Labels, Level

SHORTEST = 1e-8  # of a move, where shares are formed
SLACK = 1e-6  # relative: a change of norm eps may be rounded beyond it


class FabState(NamedTuple):
    """The iterate with its loss, the norm of the smallest change that was misclassified, and its image if inside.

    `nearest` is x and `is_inside` 0 until a misclassified point lies inside the ball.
    """

    x: Images
    loss: Level
    nearest: Images
    distance: Level
    is_inside: Level
    n_queries: Int[Array, " B"]


@pytree
class Fab:
    """`n_steps` towards the decision boundary, linearised at the iterate and biased towards x; then back inside.

    The result is the nearest misclassified point where it lies within eps of x, and x elsewhere. The boundary is that
    of the objective's loss, a margin: `Targeted(Fab(), loss=TargetedMargin())` is FAB-T. With `all_classes` the margins
    to all classes are differentiated, and the nearest boundary is taken, as in the paper. A search for the smallest
    change means little for a random predictor. Restarts begin at half of the best distance.
    """

    threat: Threat = Linf()
    n_steps: int = static(default=100)
    n_restarts: int = static(default=1)
    all_classes: bool = static(default=False)
    alpha_max: float = bounded(0, 1, default=0.1)
    eta: float = bounded(0, above=True, default=1.05)
    beta: float = bounded(0, 1, default=0.9)

    def __post_init__(self):
        check_runs("FAB", self.n_steps, self.n_restarts)

    @property
    def n_iterations(self) -> int:
        return self.n_steps * self.n_restarts

    def init(self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None) -> FabState:
        far, zero = jnp.full(len(x), jnp.inf), jnp.zeros(len(x))
        return FabState(x if start is None else start, zero - jnp.inf, x, far, zero, jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: FabState, x: Images, y: Labels) -> FabState:
        draws = objective.draw_keys(keys, i)
        current = self._restarted(keys, i, state, x)
        loss, normal, n_gradients = self._boundary(draws, objective, current, y)
        moved = self._moved(current, x, normal, jnp.sum(normal * current, axis=(1, 2, 3)) - loss)
        is_wrong = objective.evaluate(draws, moved, y).mean()[1] > 0.5
        distance = self.threat.norm(moved - x)
        nearer = is_wrong & (distance < state.distance)
        is_inside = distance <= self.threat.eps * (1 + SLACK)
        nearest = jnp.where(over(nearer & is_inside, x), moved, state.nearest)
        return FabState(
            jnp.where(over(is_wrong, x), x + self.beta * (moved - x), moved),
            loss,
            nearest,
            jnp.where(nearer, distance, state.distance),
            jnp.where(nearer & is_inside, 1.0, state.is_inside),
            state.n_queries + (n_gradients + 1) * objective.n_draws,
        )

    def result(self, state: FabState) -> Attacked:
        return Attacked(state.nearest, state.loss, state.is_inside, state.n_queries)

    def _boundary(
        self, keys: Keys, objective: Objective, x: Images, y: Labels
    ) -> tuple[Level, Images, int | Int[Array, ""]]:
        """Margin and its gradient at the boundary to look at, and how many gradients that took."""
        if not self.all_classes:
            ascent = objective.ascend(keys, x, y)
            return ascent.loss, ascent.gradient, 1
        n_others = objective.mean_scores(keys, x).shape[1] - 1

        def nearer(best: Any, shift: Any) -> tuple[Any, None]:
            target = (y + shift) % (n_others + 1)
            ascent = objective.with_loss(TargetedMargin(target)).ascend(keys, x, y)
            slope = self.threat.dual_norm(ascent.gradient)
            distance = jnp.abs(ascent.loss) / jnp.where(slope == 0, SHORTEST, slope)
            new = distance, ascent.loss, ascent.gradient
            return jax.tree.map(lambda a, b: jnp.where(over(distance < best[0], a), a, b), new, best), None

        none = jnp.full(len(x), jnp.inf), jnp.zeros(len(x)), jnp.zeros_like(x)
        (_, loss, gradient), _ = jax.lax.scan(nearer, none, 1 + jnp.arange(n_others))
        return loss, gradient, n_others + 1

    def _moved(self, current: Images, x: Images, normal: Images, offset: Level) -> Images:
        """Beyond the boundary from the iterate and from x, mixed by the lengths of the two moves (eq. 9)."""
        moves = [self.threat.nearest_on_plane(start, normal, offset) for start in (current, x)]
        near, far = (jnp.maximum(self.threat.norm(move), SHORTEST) for move in moves)
        share = over(jnp.minimum(near / (near + far), self.alpha_max), x)
        mixed = (1 - share) * (current + self.eta * moves[0]) + share * (x + self.eta * moves[1])
        return jnp.clip(mixed, 0.0, 1.0)

    def _restarted(self, keys: Keys, i: Any, state: FabState, x: Images) -> Images:
        """The iterate, or a random point where a restart begins."""
        if self.n_restarts == 1:
            return state.x
        begins = is_restart(i, self.n_steps)
        change = self.threat.start(start_keys(keys, i), x) - x
        size = jnp.minimum(state.distance, self.threat.eps) / 2
        scale = size / jnp.maximum(self.threat.norm(change), SHORTEST)
        return jnp.where(begins, jnp.clip(x + over(scale, x) * change, 0.0, 1.0), state.x)
