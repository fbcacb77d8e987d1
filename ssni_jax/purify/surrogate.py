"""Cheaper stand-ins for a defence, for attacks that cannot afford its full gradient."""

import dataclasses

import numpy as np

from ssni_jax.core.protocols import Grid
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level, Levels
from ssni_jax.purify.purifier import Defense


def surrogate(defense: Defense, n_steps: int) -> Defense:
    """The same defence with at most `n_steps` solver steps a round (Lee & Kim 2023); every other value is kept.

    Its gradient is exact for the shorter chain and an approximation for the defence, so results say that it was used.
    """
    rounds = tuple(dataclasses.replace(each, grid=shortened(each.grid, n_steps)) for each in defense.purify.rounds)
    return dataclasses.replace(defense, purify=dataclasses.replace(defense.purify, rounds=rounds))


def shortened(grid: Grid, n_steps: int) -> Grid:
    """The grid with fewer steps: by its own count where it has one to set, else by leaving out times."""
    if any(field.name == "n_steps" for field in dataclasses.fields(grid)):  # type: ignore[arg-type]
        return dataclasses.replace(grid, n_steps=min(n_steps, grid.n_steps))  # type: ignore[attr-defined]
    return Thinned(grid, n_steps)


@pytree
class Thinned:
    """At most `n_steps` steps between evenly chosen times of another grid, its first and its last among them."""

    grid: Grid
    n_steps: int = static()

    def __call__(self, t: Level) -> Levels:
        times = self.grid(t)
        n_steps = min(self.n_steps, len(times) - 1)
        return times[np.round(np.linspace(0, len(times) - 1, n_steps + 1)).astype(int)]
