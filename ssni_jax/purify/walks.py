"""Which solver walks a round: the scan, its relatives with the same gradients, or the ragged one without any."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.core.protocols import Step
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.save_at import SaveAt
from ssni_jax.core.types import DenoiseFn, Images, Keys, Levels, State, Tree
from ssni_jax.solvers import buckets, ragged, solve
from ssni_jax.solvers.saving import Observed, solve_and_save
from ssni_jax.solvers.solve import square_root_segment

DenoiseAt = Callable[[Int[Array, " S"]], DenoiseFn]


@runtime_checkable
class Walk(Protocol):
    """Runs a step down a grid; `denoise_at(rows)` is the denoiser for those rows of the batch."""

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: State, levels: Levels) -> State: ...


@pytree
class Scan:
    """`solve`: differentiable, every sample pays for the longest grid."""

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: State, levels: Levels) -> State:
        return solve(keys, denoise_at(jnp.arange(levels.shape[1])), step, x, levels)

    def saving(
        self,
        keys: Keys,
        denoise_at: DenoiseAt,
        step: Step,
        x: Images,
        levels: Levels,
        observed: Observed,
        save: SaveAt,
        before: Images,
    ) -> tuple[Images, Tree]:
        """The same, and what `save` asks for of every chosen step of `x`, the noised state of `before`.

        `denoise_at` calls `observed`.
        """
        denoise = denoise_at(jnp.arange(levels.shape[1]))
        return solve_and_save(keys, denoise, step, x, levels, observed=observed, save=save, before=before)


@pytree
class Nested:
    """`solve` in segments, for long solves: about 2 sqrt(n) kept states instead of n, for one more forward pass.

    `segment` is the number of steps that are kept at a time; None for about sqrt(n).
    """

    segment: int | None = static(default=None)

    def __post_init__(self):
        if self.segment is not None and self.segment < 1:
            raise ValueError(f"A segment has at least one step, not segment={self.segment}; None chooses the length.")

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: State, levels: Levels) -> State:
        segment = self.segment or square_root_segment(levels.shape[0] - 1)
        return solve(keys, denoise_at(jnp.arange(levels.shape[1])), step, x, levels, segment=segment)


@pytree
class Buckets:
    """`buckets.solve`: differentiable, `n` groups of samples of similar length, each pays for its own longest."""

    n: int = static(default=4)

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"Rows go into at least one bucket, not n={self.n}.")

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: State, levels: Levels) -> State:
        return buckets.solve(keys, denoise_at, step, x, levels, n_buckets=self.n)


@pytree
class Ragged:
    """`ragged.solve`: no gradient, every sample pays for its own steps; `n_slots` rows a network call."""

    n_slots: int = static(default=16)

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: State, levels: Levels) -> State:
        return ragged.solve(keys, denoise_at, step, x, levels, n_slots=self.n_slots).x
