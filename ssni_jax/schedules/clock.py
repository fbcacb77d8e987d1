"""A schedule for walks whose levels are times and no noise."""

from ssni_jax.core.pytree import pytree
from ssni_jax.schedules.vp import Times


@pytree
class Clock:
    """The level is the time itself, and nothing is scaled."""

    def sigma(self, t: Times) -> Times:
        return t

    def scale(self, t: Times) -> Times:
        return t * 0 + 1

    def inverse(self, sigma: Times) -> Times:
        return sigma
