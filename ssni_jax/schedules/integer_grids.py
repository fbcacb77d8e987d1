"""Grids of integer steps, in exact arithmetic and as released code rounds them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ssni_jax.core.protocols import NoiseSchedule
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level, Levels
from ssni_jax.schedules.grids import check_count, noise_at


class _Counted:
    """What grids of integer steps have in common."""

    n_steps: int
    n: int
    divides_noise = False

    def __post_init__(self):
        check_count(self.n_steps)

    def with_steps(self, n_steps: int):
        return dataclasses.replace(self, n_steps=min(n_steps, self.n_steps))  # type: ignore[type-var]

    def reaching(self, t: float, before: float):
        """One more step for each integer step that t is above `before`, as the released code adds its bias."""
        n_steps = max(1, self.n_steps + round((t - before) * self.n))
        return dataclasses.replace(self, n_steps=n_steps)  # type: ignore[type-var]


@pytree
class IntegerSteps(_Counted):
    """ceil(t_int (K - i) / K) of the discrete schedule's integer steps, SSNI's index sequence (arXiv:2506.06027, code).

    A t_int below `n_steps` repeats some indices: zero-length steps in the middle of the column. The released code
    noises and denoises every sample by `at_least` one integer step, even where t_int = 0.
    """

    n_steps: int = static()
    n: int = static(default=1000)
    at_least: int = static(default=0)

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        total = _count(t, self.n) * jnp.arange(self.n_steps, -1, -1)[:, None]
        return _noise_of_counts(schedule, -(-total // self.n_steps), t, self.n, self.at_least)


@pytree
class Float32Steps(_Counted):
    """`IntegerSteps` as the released code's float32 linspace rounds them: some whole numbers one integer step higher.

    With 105 steps, the published setting, eleven of the t_int up to 104 differ from exact arithmetic. All rounding is
    done in NumPy, because an accelerator may round otherwise.
    """

    n_steps: int = static()
    n: int = static(default=1000)
    at_least: int = static(default=0)

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels:
        counts = jnp.asarray(_float32_counts(self.n_steps, self.n))[:, _count(t, self.n)]
        return _noise_of_counts(schedule, counts, t, self.n, self.at_least)


def _count(t: Level, n: int) -> Int[Array, " B"]:
    """The nearest number of integer steps, of which there are `n` in all."""
    return jnp.round(t * n).astype(jnp.int32)


def _noise_of_counts(schedule: NoiseSchedule, counts: Int[Array, "N B"], t: Level, n: int, at_least: int) -> Levels:
    """The noise after so many of `n` integer steps; a NaN t gives NaN."""
    steps = jnp.maximum(counts, at_least)
    return noise_at(schedule, steps.astype(jnp.float32) / n + 0 * t)


def _float32_counts(n_steps: int, n: int) -> Int[np.ndarray, "N counts"]:
    """ceil(linspace(t_int, 0)) in float32, a column for each t_int up to `n`.

    PyTorch's linspace counts the first half of its points up from 0, and the second half down from its end.
    """
    end, i = np.arange(n + 1, dtype=np.float32), np.arange(n_steps + 1, dtype=np.float32)[:, None]
    size = end / np.float32(n_steps)
    points = np.where(i < (n_steps + 1) // 2, size * i, end - size * (n_steps - i))
    return np.ceil(points[::-1]).astype(np.int32)
