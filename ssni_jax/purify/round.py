"""One round of purification: how much noise, which walk back, leaning towards what."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from ssni_jax.core.protocols import Grid, Guide, Noise, NoiseLevel, NoiseSchedule, Reference, Remembering, Step
from ssni_jax.core.pytree import pytree, static
from ssni_jax.purify.guides import Itself, Unguided
from ssni_jax.purify.guides.guided import walks_noise
from ssni_jax.purify.levels import Constant
from ssni_jax.purify.noises import AsGiven, Diffused

EXACT = 1e-5  # relative error of the noise at which a smoothed round may begin


@pytree
class Round:
    """Noise to `level`, then walk `grid` back to zero with `step`; done `repeats` times in a row.

    `guide` leans towards `reference`, which is made of the purifier's input once per round.
    """

    level: NoiseLevel
    grid: Grid
    step: Step | Remembering
    guide: Guide = Unguided()
    reference: Reference = Itself()
    noise: Noise = Diffused()
    repeats: int = static(default=1)

    def __post_init__(self):
        if self.repeats < 1:
            raise ValueError(f"A round must be done at least once, got repeats={self.repeats}; leave it out instead.")

    def with_steps(self, n_steps: int) -> "Round":
        """The round in at most `n_steps` solver steps."""
        return dataclasses.replace(self, grid=self.grid.with_steps(n_steps))

    def with_level(self, change: Callable[[NoiseLevel], NoiseLevel]) -> "Round":
        """The round with its noise level changed."""
        return dataclasses.replace(self, level=change(self.level))

    def at_noise(self, schedule: NoiseSchedule, sigma: float) -> "tuple[Round, ...]":
        """This round for images that smoothing noised with `sigma`, of the [0, 1] range: the state 2 sigma as it is.

        Its first repeat begins at the time whose noise is 2 sigma; the others are as they were. ValueError where the
        level is not a fixed one, the noise cannot be exactly 2 sigma, or the walk does not take noise away.
        """
        if not walks_noise(self.step):
            raise ValueError(
                f"smoothing gives the first round an image with noise, which {type(self.step).__name__} does not take "
                "away: certify a method that does, such as one_step."
            )
        if self.level.adaptive:
            raise ValueError(
                "smoothing fixes the noise of the first round, and this round chooses its own by "
                f"{type(self.level).__name__}: certify the method that it reweights instead."
            )
        t = time_of(schedule, sigma)
        grid = self.grid.reaching(t, float(self.level.fixed().t_star))
        noise = float(grid(schedule, jnp.full(1, t, jnp.float32))[0, 0])
        if abs(noise - 2 * sigma) > EXACT * sigma:
            raise ValueError(
                f"the {type(schedule).__name__} schedule and its grid {type(grid).__name__} make the noise {noise:.6g} "
                f"of 2 sigma = {2 * sigma:g}: choose a schedule that reaches it and a grid that divides it, such as "
                "Uniform."
            )
        given = dataclasses.replace(self, level=Constant(t), grid=grid, noise=AsGiven(), repeats=1)
        return (given,) if self.repeats == 1 else (given, dataclasses.replace(self, repeats=self.repeats - 1))


def time_of(schedule: NoiseSchedule, sigma: float) -> float:
    """The schedule's time whose noise is that of smoothing with `sigma`, in the [0, 1] range."""
    if sigma <= 0:
        raise ValueError(f"The smoothing noise must be positive, got sigma={sigma}: choose for example 0.25.")
    return float(schedule.inverse(jnp.asarray(2 * sigma, jnp.float32)))
