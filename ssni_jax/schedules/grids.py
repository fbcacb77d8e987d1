"""Time grids: from t(x) down to a row that is literally zero, one column a sample."""

import jax.numpy as jnp
import numpy as np

from ssni_jax.core.protocols import NoiseSchedule
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level, Levels
from ssni_jax.schedules.ve import VE


@pytree
class Uniform:
    """`n_steps` equal steps for every sample, whatever its t."""

    n_steps: int = static()

    def __post_init__(self):
        _check_count(self.n_steps)

    def __call__(self, t: Level) -> Levels:
        fractions = np.arange(self.n_steps, -1, -1, dtype=np.float64) / self.n_steps
        return _end_at_zero(jnp.asarray(fractions, jnp.float32)[:, None] * t)


@pytree
class Strided:
    """Steps of one size, `n_steps` of them for t = t_max and t's share of them below: a small t(x) is cheap.

    Differentiable in t. Columns that reach zero early repeat it: zero-length steps, the identity. A t beyond t_max
    takes a longer last step.
    """

    n_steps: int = static()
    t_max: float = 0.1

    def __post_init__(self):
        _check_count(self.n_steps)

    def __call__(self, t: Level) -> Levels:
        size = self.t_max / self.n_steps
        rest = t - (jnp.arange(self.n_steps + 1) * size)[:, None]
        return _end_at_zero(jnp.where(rest < 1e-3 * size, 0.0, rest))


@pytree
class IntegerSteps:
    """ceil(t_int (K - i) / K) of the discrete schedule's integer steps, SSNI's index sequence (arXiv:2506.06027, code).

    A t_int below `n_steps` repeats some indices: zero-length steps in the middle of the column. The released code
    noises and denoises every sample by `at_least` one integer step, even where t_int = 0.
    """

    n_steps: int = static()
    n: int = static(default=1000)
    at_least: int = static(default=0)

    def __post_init__(self):
        _check_count(self.n_steps)

    def __call__(self, t: Level) -> Levels:
        total = jnp.round(t * self.n).astype(jnp.int32) * jnp.arange(self.n_steps, -1, -1)[:, None]
        steps = jnp.maximum(-(-total // self.n_steps), self.at_least)
        return _end_at_zero(steps.astype(jnp.float32) / self.n) + 0 * t


@pytree
class Karras:
    """Noise levels evenly spaced in sigma^(1/rho) down to `sigma_min`, then zero (Karras et al. 2022, eq. 5).

    `schedule` is the one that t belongs to. A sample whose noise is below `sigma_min` takes one step to zero.
    """

    n_steps: int = static()
    sigma_min: float = 0.002
    rho: float = 7.0
    schedule: NoiseSchedule = VE()

    def __post_init__(self):
        _check_count(self.n_steps)

    def __call__(self, t: Level) -> Levels:
        high = self.schedule.sigma(t)
        low = jnp.minimum(high, self.sigma_min)
        fractions = jnp.linspace(0.0, 1.0, self.n_steps)[:, None] if self.n_steps > 1 else jnp.zeros((1, 1))
        root = lambda v: jnp.power(jnp.where(v > 0, v, 1.0), 1 / self.rho)  # noqa: E731
        ramp = jnp.power(root(high) + fractions * (root(low) - root(high)), self.rho)
        times = jnp.where(high > self.sigma_min, self.schedule.inverse(ramp), t)  # equal rows, beyond rounding
        return jnp.concatenate([t[None], times[1:], jnp.zeros_like(t)[None]])


def _end_at_zero(times: Levels) -> Levels:
    """The last row replaced by a literal zero, which rounding could otherwise miss."""
    return times.at[-1].set(0.0)


def _check_count(n_steps: int) -> None:
    if n_steps < 1:
        raise ValueError(f"A time grid needs at least one step, not n_steps={n_steps}.")
