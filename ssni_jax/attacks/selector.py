"""Attacks on what chooses the noise level: losses of the score norm, alone or with another loss, and two-phase attacks.

SSNI gives a sample the more noise the larger its score norm is. An attacker may therefore lower the norm, so that too
little noise is added to remove the perturbation, or raise it, so that too much is added to keep the content. The norm
has a gradient where t(x) has none: t is rounded, and SSNI-L clips it at either end.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ssni_jax.attacks.attack import Attack, Attacked
from ssni_jax.attacks.losses import CrossEntropy, TraceLoss
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.pgd import Pgd
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Trace
from ssni_jax.core.pytree import pytree
from ssni_jax.core.save_at import SaveAt
from ssni_jax.core.types import Images, Keys, Labels, Level


@pytree
class RaiseNorm:
    """The score norm of the image, in units of `scale`: raising it makes SSNI add more noise.

    Score norms are in the hundreds; SSNI-N's `tau`, or the range of SSNI-L, is a scale on which they are of order one.
    The objective must not hold the levels, because a held norm has no gradient.
    """

    scale: float = bounded(0, above=True, default=1.0)
    of_levels = True

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return trace.deviation / self.scale


@pytree
class LowerNorm:
    """Minus the score norm of the image, in units of `scale`: raising it makes SSNI add less noise. As `RaiseNorm`."""

    scale: float = bounded(0, above=True, default=1.0)
    of_levels = True

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return -trace.deviation / self.scale


@pytree
class Joint:
    """loss + weight * other, row by row; one of the two may look at saved states."""

    loss: TraceLoss = CrossEntropy()
    other: TraceLoss = LowerNorm()
    weight: float = bounded(default=1.0)

    def __post_init__(self):
        if all(getattr(part, "save", None) is not None for part in (self.loss, self.other)):
            raise ValueError(
                f"Only one part of a joint loss may look at saved states, got {type(self.loss).__name__} and "
                f"{type(self.other).__name__}: replace one of them by a loss of scores."
            )

    @property
    def save(self) -> SaveAt | None:
        return getattr(self.loss, "save", None) or getattr(self.other, "save", None)

    @property
    def of_levels(self) -> bool:
        return any(getattr(part, "of_levels", False) for part in (self.loss, self.other))

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return self.loss(trace, y) + self.weight * self.other(trace, y)


class PhasesState(NamedTuple):
    """The states of both attacks, and whether each row is in the second phase; until then that one's is a template."""

    first: Any
    then: Any
    is_second: Bool[Array, " B"]


@pytree
class Phases:
    """The attack `first` on the loss `first_loss`, and from the image that it reaches the attack `then`.

    The second phase raises the objective's own loss. Both stay within their threats around the clean image; give both
    the same threat. Until the second phase begins the result shows the loss of the first.
    """

    first: Attack = Pgd()
    then: Attack = Pgd()
    first_loss: TraceLoss = LowerNorm()

    @property
    def n_iterations(self) -> int:
        return self.first.n_iterations + self.then.n_iterations

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> PhasesState:
        first = self.first.init(keys, objective.with_loss(self.first_loss), x, y, start=start)
        return PhasesState(first, self.then.init(keys, objective, x, y, start=x), jnp.zeros(len(x), bool))

    def update(self, keys: Keys, i: Any, objective: Objective, state: PhasesState, x: Images, y: Labels) -> PhasesState:
        def in_first() -> PhasesState:
            raised = objective.with_loss(self.first_loss)
            return state._replace(first=self.first.update(keys, i, raised, state.first, x, y))

        def in_second() -> PhasesState:
            before, later = self.first.n_iterations, objective.after(self.first.n_iterations)
            begun = jax.lax.cond(i == before, lambda: self._begun(keys, later, state, x, y), lambda: state.then)
            moved = self.then.update(keys, i - before, later, begun, x, y)
            return PhasesState(state.first, moved, jnp.ones(len(x), bool))

        return jax.lax.cond(i < self.first.n_iterations, in_first, in_second)

    def result(self, state: PhasesState) -> Attacked:
        first, then = self.first.result(state.first), self.then.result(state.then)
        shown = Attacked(*(jnp.where(over(state.is_second, a), b, a) for a, b in zip(first, then, strict=True)))
        return shown._replace(n_queries=first.n_queries + then.n_queries)

    def _begun(self, keys: Keys, objective: Objective, state: PhasesState, x: Images, y: Labels) -> Any:
        """The second attack's state at the image that the first one reached."""
        return self.then.init(keys, objective, x, y, start=self.first.result(state.first).image)
