"""DiffAttack's deviated reconstruction (Kang, Song & Li 2023): drive the reverse process away from the forward one."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.attacks.losses import CrossEntropy, TraceLoss
from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Trace
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.save_at import Moment, SaveAt
from ssni_jax.core.types import Labels, Level


class Apart(NamedTuple):
    """What is kept of a step, per row: the squared distance of the two processes, and whether the step moves."""

    distance: Level
    moves: Level


@pytree
class Deviated:
    """`loss` + weight L_dev: DiffAttack's objective; the paper attacks with CrossEntropy and then Dlr, weight 1.

    L_dev is the mean over sampled steps of |x_t - x'_t|^2, summed over the pixels of the unscaled state in the [-1, 1]
    range. x'_t is the state of the reverse process; x_t = x + (sigma_t / sigma_start) (noised - x) is the forward one
    at the same noise level with the noise that the purifier drew, x being the image from which the round began. The
    published sample of a third of the steps, uniform over time, is the middle step of every three consecutive ones, of
    every round and repeat. Steps of length zero do not count, so that a row with a small t(x) is averaged over its own
    steps. Without rounds L_dev is zero. Saving needs a `Scan` walk.
    """

    loss: TraceLoss = CrossEntropy()
    weight: float = bounded(default=1.0)
    every: int = static(default=3)

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(
                f"Deviated samples one of `every` steps, at least one, got every={self.every}: 3 is published."
            )
        if getattr(self.loss, "save", None) is not None:
            raise ValueError(
                f"Deviated needs a loss that saves no states, got {type(self.loss).__name__}: use CrossEntropy."
            )

    @property
    def save(self) -> SaveAt:
        return SaveAt(apart, every=self.every)

    def __call__(self, trace: Trace, y: Labels) -> Level:
        return self.loss(trace, y) + self.weight * mean_deviation(trace)


def apart(moment: Moment) -> Apart:
    """The squared distance of the reverse state from the forward one at the same noise level."""
    share = moment.hi / jnp.where(moment.start == 0, 1.0, moment.start)
    forward = moment.before + over(share, moment.x) * (moment.noised - moment.before)
    distance = jnp.sum(jnp.square(forward - moment.x), axis=(1, 2, 3))
    idle = moment.hi == moment.lo
    return Apart(jnp.where(idle, 0.0, distance), (~idle).astype(distance.dtype))


def mean_deviation(trace: Trace) -> Level:
    """The mean distance per row over all steps that moved, of all rounds, repeats and votes; zero without any."""
    rounds = trace.saved or ()
    total = sum((_row_sum(kept.distance) for kept in rounds), jnp.zeros_like(trace.deviation))
    count = sum((_row_sum(kept.moves) for kept in rounds), jnp.zeros_like(trace.deviation))
    return total / jnp.maximum(count, 1.0)


def _row_sum(v: Float[Array, "B ..."]) -> Level:
    return jnp.sum(v, axis=tuple(range(1, v.ndim)))
