"""The attack of the sanity checks: PGD whose radius, loss, averaging and keys are data, one program for all of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.attacks import Attacked, CrossEntropy, Linf, Objective, TraceLoss
from ssni_jax.attacks.attack import begins_at_clean_images
from ssni_jax.attacks.threats import Threat
from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import Trace
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.save_at import SaveAt
from ssni_jax.core.types import Images, Keys, Labels, Level

AXES = (1, 2, 3)
TINY = 1e-12  # keeps constant scores finite


class ProbeState(NamedTuple):
    """The iterate, the gradients summed since its last move, the last one, and how many were all zero or not finite."""

    x: Images
    total: Images
    gradient: Images
    loss: Level
    broken: Level
    n_zero: Int[Array, " B"]
    n_invalid: Int[Array, " B"]
    n_queries: Int[Array, " B"]


@pytree
class Probe:
    """Steps of `step_size` inside `threat`, one after every `every` gradients, whose sum it follows.

    `every` multiplies the draws per gradient without another program. With `fixed_key` every gradient is of the same
    draws, for an attacker who knows them. A driver may run it for any number of iterations.
    """

    threat: Threat = Linf()
    step_size: float = 0.007
    every: int = 1
    fixed_key: bool = False
    n_steps: int = static(default=20)

    @property
    def n_iterations(self) -> int:
        return self.n_steps

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> ProbeState:
        begins_at_clean_images(self, start)
        zeros, none = jnp.zeros(len(x)), jnp.zeros(len(x), jnp.int32)
        return ProbeState(x, jnp.zeros_like(x), jnp.zeros_like(x), zeros, zeros, none, none, none)

    def update(self, keys: Keys, i: Any, objective: Objective, state: ProbeState, x: Images, y: Labels) -> ProbeState:
        draws = objective.draw_keys(keys, jnp.where(self.fixed_key, 0, i))
        ascent = objective.ascend(draws, state.x, y)
        total = state.total + ascent.gradient
        is_due = (i + 1) % self.every == 0
        moved = self.threat.project(state.x + self.step_size * self.threat.direction(total), x)
        return ProbeState(
            jnp.where(is_due, moved, state.x),
            jnp.where(is_due, 0.0, total),
            ascent.gradient,
            ascent.loss,
            ascent.wrong,
            state.n_zero + jnp.all(ascent.gradient == 0, axis=AXES),
            state.n_invalid + ~jnp.all(jnp.isfinite(ascent.gradient), axis=AXES),
            state.n_queries + objective.n_draws,
        )

    def result(self, state: ProbeState) -> Attacked:
        return Attacked(state.x, state.loss, state.broken, state.n_queries)


@pytree
class Standardised:
    """The cross-entropy of scores divided by their own standard deviation: the scale of the logits has no effect."""

    def __call__(self, trace: Trace, y: Labels) -> Level:
        spread = jax.lax.stop_gradient(jnp.std(trace.scores, axis=1)) + TINY
        return CrossEntropy()(trace._replace(scores=trace.scores / over(spread, trace.scores)), y)


@pytree
class Mixed:
    """The sum of `losses` times `weights`, of scores to which `shift` is added; at most one looks at saved states."""

    losses: tuple[TraceLoss, ...]
    weights: tuple[float, ...]
    shift: float = 0.0

    @property
    def save(self) -> SaveAt | None:
        return next((save for loss in self.losses if (save := getattr(loss, "save", None)) is not None), None)

    @property
    def of_levels(self) -> bool:
        return any(getattr(loss, "of_levels", False) for loss in self.losses)

    def __call__(self, trace: Trace, y: Labels) -> Level:
        shifted = trace._replace(scores=trace.scores + self.shift)
        parts = [weight * loss(shifted, y) for loss, weight in zip(self.losses, self.weights, strict=True)]
        return jnp.sum(jnp.stack(parts), axis=0)
