"""Attacks that see only loss values: projected ascent along a gradient estimated from random directions."""

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.best import Best, better, unbeaten
from ssni_jax.attacks.objective import Objective
from ssni_jax.attacks.threats import Linf, Threat
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import as_pixels, bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like, uniform_like
from ssni_jax.core.types import Images, Keys, Labels, Level

DIRECTIONS = 1 << 20  # beyond every iteration that the keys are folded with


@runtime_checkable
class Directions(Protocol):
    """Random directions in the shape of x, every pixel with mean 0 and variance 1; row r follows from key r alone."""

    def __call__(self, keys: Keys, x: Images) -> Images: ...


@pytree
class Rademacher:
    """Every pixel -1 or 1 with equal probability: SPSA (Spall 1992, Uesato et al. 2018, arXiv:1802.05666)."""

    def __call__(self, keys: Keys, x: Images) -> Images:
        return jnp.where(uniform_like(keys, x) < 0, -1.0, 1.0).astype(x.dtype)


@pytree
class Gaussian:
    """Standard normal pixels: NES (Ilyas et al. 2018, arXiv:1804.08598)."""

    def __call__(self, keys: Keys, x: Images) -> Images:
        return normal_like(keys, x)


class SpsaState(NamedTuple):
    """The iterate, the loss and answers seen before the last move, and the best iterate so far."""

    x: Images
    loss: Level
    broken: Level
    best: Best
    n_queries: Int[Array, " B"]


@pytree
class Spsa:
    """`n_steps` of size `step_size` inside `threat`, by g = mean_j (L(x + s d_j) - L(x - s d_j)) / (2 s) d_j.

    s is `sigma`, in units of the [0, 1] range, and probes may leave that range by it. All probes of one iteration use
    the same draws of the predictor, so the estimate is that of the mean gradient over these draws. `directions`
    chooses between SPSA and NES; `n_together` of the `n_directions` share the memory of one call, None for all. `keep`
    is as in `Pgd`. The default step is an eighth of the default radius.
    """

    threat: Threat = Linf()
    step_size: float = bounded(0, hint=as_pixels, default=1 / 255)
    n_steps: int = static(default=40)
    n_directions: int = static(default=128)
    sigma: float = bounded(default=0.001)
    directions: Directions = Rademacher()
    n_together: int | None = static(default=8)
    keep: Literal["last", "best"] = static(default="best")

    def __post_init__(self):
        for name in ("n_steps", "n_directions", "n_together"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if self.sigma <= 0:
            raise ValueError(f"sigma, the distance of the probes, must be above 0, got {self.sigma}: use 0.001.")

    @property
    def n_iterations(self) -> int:
        return self.n_steps

    def init(self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None) -> SpsaState:
        best = unbeaten(x)
        return SpsaState(x if start is None else start, best.loss, best.broken, best, jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: SpsaState, x: Images, y: Labels) -> SpsaState:
        draws = objective.draw_keys(keys, i)
        loss, broken = objective.evaluate(draws, state.x, y).mean()
        best = better(state.best, state.x, loss, broken)
        gradient = self._estimate(fold(fold(keys, DIRECTIONS), i), draws, objective, state.x, y)
        moved = self.threat.project(state.x + self.step_size * self.threat.direction(gradient), x)
        n_queries = state.n_queries + (1 + 2 * self.n_directions) * objective.n_draws
        return SpsaState(moved, loss, broken, best, n_queries)

    def result(self, state: SpsaState) -> Attacked:
        if self.keep == "last":
            return Attacked(state.x, state.loss, state.broken, state.n_queries)
        return Attacked(*state.best, state.n_queries)

    def _estimate(self, keys: Keys, draws: Keys, objective: Objective, x: Images, y: Labels) -> Images:
        """The mean of the directions, each times the slope of the loss along it."""
        numbers = jnp.arange(self.n_directions)

        def slope(j: Any) -> Level:
            probe = self.sigma * self.directions(fold(keys, j), x)
            ahead, behind = (objective.evaluate(draws, x + step, y).mean()[0] for step in (probe, -probe))
            return (ahead - behind) / (2 * self.sigma)

        def add(total: Images, term: tuple[Any, Level]) -> tuple[Images, None]:
            j, slope = term
            return total + over(slope, x) * self.directions(fold(keys, j), x), None

        together = min(self.n_together or self.n_directions, self.n_directions)
        # In a loop, even of one turn, XLA is slow with some convolutions on the CPU.
        is_one_call = together == self.n_directions
        slopes = jax.vmap(slope)(numbers) if is_one_call else jax.lax.map(slope, numbers, batch_size=together)
        # Directions are drawn again instead of kept: all of them would take the memory of n_directions batches.
        total, _ = jax.lax.scan(add, jnp.zeros_like(x), (numbers, slopes))
        return total / self.n_directions
