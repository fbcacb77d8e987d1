"""A schedule for walks whose levels are times and no noise."""

from ssni_jax.core.pytree import pytree
from ssni_jax.schedules.vp import Times


@pytree
class Clock:
    """The level is the time of the dynamics, not a noise level, and nothing is scaled."""

    n_integer_steps = 1000

    def sigma(self, t: Times) -> Times:
        return t

    def scale(self, t: Times) -> Times:
        return t * 0 + 1

    def inverse(self, sigma: Times) -> Times:
        """Always a ValueError: no time of this schedule has a given noise."""
        raise ValueError(
            "the levels of this method are times, not noise levels: it cannot start at a given noise, such as that of "
            "randomized smoothing; choose another method."
        )
