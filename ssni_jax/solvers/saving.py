"""The walk that keeps something of every chosen step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ssni_jax.core.protocols import Step
from ssni_jax.core.rng import fold
from ssni_jax.core.save_at import Moment, SaveAt
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level, Levels, Tree
from ssni_jax.solvers.adjusted import Adjusted
from ssni_jax.solvers.solve import advance


class Observed:
    """A denoiser that remembers its first estimate since `forget`, within one traced step."""

    def __init__(self, denoise: DenoiseFn):
        self.denoise = Adjusted(denoise, self._remembered)
        self.estimates: list[Images] = []

    def __call__(self, x: Images, sigma: Level) -> Images:
        return self.denoise(x, sigma)

    @property
    def with_extra(self) -> Callable[[Images, Level], tuple[Images, Any]] | None:
        """The denoiser's own, observed; None for a denoiser without further channels."""
        return self.denoise.with_extra

    def forget(self) -> None:
        """Begins a new step."""
        self.estimates.clear()

    def _remembered(self, x: Images, sigma: Level, x0: Images) -> Images:
        self.estimates.append(x0)
        return x0


def solve_and_save(
    keys: Keys,
    denoise: DenoiseFn,
    step: Step,
    x: Images,
    levels: Levels,
    *,
    observed: Observed,
    save: SaveAt,
    before: Images,
) -> tuple[Images, Tree]:
    """`solve` of `x`, the noised state of `before`, and what `save` asks for with the rows first, [B, n_steps, ...].

    `denoise` calls `observed`.
    """
    noised = x

    def body(x, row):
        index, hi, lo = row
        observed.forget()
        moved = advance(fold(keys, index), denoise, step, x, (hi, lo))
        return moved, save.function(Moment(index, x, observed.estimates[0], hi, lo, before, noised, levels[0]))

    n_steps = levels.shape[0] - 1
    rows = (jnp.arange(n_steps), levels[:-1], levels[1:])
    x, saved = jax.lax.scan(jax.checkpoint(body), x, rows)
    chosen = jnp.asarray(save.chosen(n_steps), jnp.int32)
    return x, jax.tree.map(lambda v: jnp.moveaxis(v[chosen], 0, 1), saved)
