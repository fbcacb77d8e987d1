"""What a caller asks to see of the states inside a purification, as with diffrax's SaveAt."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import Array, Int

from ssni_jax.core.types import Images, Level, Tree


class Moment(NamedTuple):
    """One step of a walk, before it moves; images are unscaled states in the [-1, 1] range.

    `step` counts the steps of the walk from 0, `x` is the state at noise `hi`, which the step takes to noise `lo`, and
    `x0` the network's first estimate in it. The walk began at `noised`, which is `before` with noise `start` added.
    Rows for which the step has length zero, hi == lo, are shown an estimate of harmless noise.
    """

    step: Int[Array, ""]
    x: Images
    x0: Images
    hi: Level
    lo: Level
    before: Images
    noised: Images
    start: Level


@dataclasses.dataclass(frozen=True)
class SaveAt:
    """Keep `function(moment)` at the chosen `steps` of every walk; None for every `every`-th one.

    The function returns arrays with one row per row of the state. Steps beyond the end of a walk are left out. With
    `every` the walk is divided into parts of that length, and the step in the middle of each part is kept.
    """

    function: Callable[[Moment], Tree]
    steps: tuple[int, ...] | None = None
    every: int = 1

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"Steps are saved at a distance of at least one, got every={self.every}.")

    def chosen(self, n_steps: int) -> Sequence[int]:
        """The steps that are kept of a walk of `n_steps`."""
        if self.steps is None:
            return range(self.every // 2, n_steps, self.every)
        return [step for step in self.steps if step < n_steps]


NOTHING: SaveAt | None = None
