"""Which solver walks a round: the differentiable scan, or the ragged one that charges a sample only its own steps."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Int

from ssni_jax.core.protocols import Step
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import DenoiseFn, Images, Keys, Levels
from ssni_jax.solvers import ragged, solve

DenoiseAt = Callable[[Int[Array, " S"]], DenoiseFn]


@runtime_checkable
class Walk(Protocol):
    """Runs a step down a grid; `denoise_at(rows)` is the denoiser for those rows of the batch."""

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: Images, levels: Levels) -> Images: ...


@pytree
class Scan:
    """`solve`: differentiable, every sample pays for the longest grid."""

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: Images, levels: Levels) -> Images:
        return solve(keys, denoise_at(jnp.arange(x.shape[0])), step, x, levels)


@pytree
class Ragged:
    """`ragged.solve`: no gradient, every sample pays for its own steps; `n_slots` rows a network call."""

    n_slots: int = static(default=16)

    def __call__(self, keys: Keys, denoise_at: DenoiseAt, step: Step, x: Images, levels: Levels) -> Images:
        return ragged.solve(keys, denoise_at, step, x, levels, n_slots=self.n_slots).x
