"""Grids: noise levels from that of t(x) down to a row that is literally zero, one column per sample."""

import math

import jax.numpy as jnp
import numpy as np

from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Grid, NoiseSchedule
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level, Levels

IDLE_SHARE = 1e-3  # of a step: a remainder below it counts as no step


@pytree
class Uniform:
    """`n_steps` equal steps of time for every sample, whatever its t."""

    n_steps: int = static()

    def __post_init__(self):
        check_count(self.n_steps)

    @property
    def divides_noise(self) -> bool:
        return self.n_steps == 1

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        return noise_at(schedule, jnp.asarray(_shares(self.n_steps))[:, None] * t)

    def with_steps(self, n_steps: int) -> "Uniform":
        return Uniform(min(n_steps, self.n_steps))

    def reaching(self, t: float, before: float) -> "Uniform":
        return self


@pytree
class EqualNoise:
    """`n_steps` equal steps of noise for every sample, whatever its t."""

    n_steps: int = static()
    divides_noise = True

    def __post_init__(self):
        check_count(self.n_steps)

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        return _end_at_zero(jnp.asarray(_shares(self.n_steps))[:, None] * schedule.sigma(t))

    def with_steps(self, n_steps: int) -> "EqualNoise":
        return EqualNoise(min(n_steps, self.n_steps))

    def reaching(self, t: float, before: float) -> "EqualNoise":
        return self


@pytree
class Strided:
    """Steps of one size, `n_steps` of them for t = t_max and t's share of them below: a small t(x) is cheap.

    Differentiable in t. Columns that reach zero early repeat it: zero-length steps, the identity. A t beyond t_max
    takes a longer last step.
    """

    n_steps: int = static()
    t_max: float = bounded(0, above=True, default=0.1)
    divides_noise = False

    def __post_init__(self):
        check_count(self.n_steps)

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        size = self.t_max / self.n_steps
        rest = t - (jnp.arange(self.n_steps + 1) * size)[:, None]
        return noise_at(schedule, jnp.where(rest < IDLE_SHARE * size, 0.0, rest))

    def with_steps(self, n_steps: int) -> "Strided":
        return Strided(min(n_steps, self.n_steps), self.t_max)

    def reaching(self, t: float, before: float) -> "Strided":
        """As many steps of this size as a time of t needs."""
        n_steps = max(1, math.ceil(self.n_steps * t / self.t_max - IDLE_SHARE))
        return Strided(n_steps, self.t_max * n_steps / self.n_steps)


@pytree
class Karras:
    """Noise levels evenly spaced in sigma^(1/rho) down to `sigma_min`, then zero (Karras et al. 2022, eq. 5).

    A sample whose noise is below `sigma_min` takes one step to zero.
    """

    n_steps: int = static()
    sigma_min: float = bounded(0, above=True, default=0.002)
    rho: float = bounded(0, above=True, default=7.0)
    divides_noise = True

    def __post_init__(self):
        check_count(self.n_steps)

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        high = schedule.sigma(t)
        shares = jnp.linspace(0.0, 1.0, self.n_steps)[:, None] if self.n_steps > 1 else jnp.zeros((1, 1))
        top, bottom = self._root(high), self._root(jnp.minimum(high, self.sigma_min))
        ramp = jnp.power(top + shares * (bottom - top), self.rho)
        levels = jnp.where(high > self.sigma_min, ramp, high)  # below sigma_min all rows are equal, beyond rounding
        return jnp.concatenate([high[None], levels[1:], jnp.zeros_like(high)[None]])

    def with_steps(self, n_steps: int) -> "Karras":
        return Karras(min(n_steps, self.n_steps), self.sigma_min, self.rho)

    def reaching(self, t: float, before: float) -> "Karras":
        return self

    def _root(self, sigma: Level) -> Level:
        return jnp.power(jnp.where(sigma > 0, sigma, 1.0), 1 / self.rho)


@pytree
class Listed:
    """From t down the listed `indices` of a table of `n` steps; index i has the noise after i + 1 steps (0-based code).

    The last index is where t is meant to be: a t below some of them starts at the first that it reaches, a t above
    takes a longer first step.
    """

    indices: tuple[int, ...] = static()
    n: int = static(default=1000)
    divides_noise = False

    def __post_init__(self):
        object.__setattr__(self, "indices", tuple(self.indices))
        if not self.indices or self.indices[0] < 0 or np.any(np.diff(self.indices) <= 0):
            raise ValueError(f"Listed indices must ascend from 0 or more, got {self.indices}: sort them.")

    @property
    def n_steps(self) -> int:
        return len(self.indices)

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        below = jnp.asarray([(i + 1) / self.n for i in self.indices[-2::-1]], jnp.float32)[:, None]
        return noise_at(schedule, jnp.concatenate([t[None], jnp.minimum(t, below), jnp.zeros_like(t)[None]]))

    def with_steps(self, n_steps: int) -> Grid:
        return self if n_steps >= self.n_steps else Thinned(self, n_steps)

    def reaching(self, t: float, before: float) -> "Listed":
        return self


@pytree
class Thinned:
    """`n_steps` steps between evenly chosen levels of another grid, its first and its last among them."""

    grid: Grid
    n_steps: int = static()

    @property
    def divides_noise(self) -> bool:
        return self.grid.divides_noise

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        levels = self.grid(schedule, t)
        return levels[np.round(np.linspace(0, len(levels) - 1, self.n_steps + 1)).astype(int)]

    def with_steps(self, n_steps: int) -> "Thinned":
        return Thinned(self.grid, min(n_steps, self.n_steps))

    def reaching(self, t: float, before: float) -> "Thinned":
        return Thinned(self.grid.reaching(t, before), self.n_steps)


def noise_at(schedule: NoiseSchedule, times: Levels) -> Levels:
    """The noise of each time; the last row is a literal zero, which rounding could otherwise miss."""
    return _end_at_zero(schedule.sigma(_end_at_zero(times)))


def check_count(n_steps: int) -> None:
    """Refuses a grid without steps."""
    if n_steps < 1:
        raise ValueError(f"A grid needs at least one step, got n_steps={n_steps}.")


def _shares(n_steps: int) -> np.ndarray:
    """1, (n - 1) / n, ..., 0."""
    return (np.arange(n_steps, -1, -1, dtype=np.float64) / n_steps).astype(np.float32)


def _end_at_zero(levels: Levels) -> Levels:
    return levels.at[-1].set(0.0)
