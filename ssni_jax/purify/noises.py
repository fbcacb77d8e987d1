"""How a round begins: with noise of its level, or with the state as it is."""

from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.solvers import diffuse


@pytree
class Diffused:
    """x + sigma n, the forward process."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return diffuse(keys, x, sigma)


@pytree
class AsGiven:
    """The state itself: for images that were noised elsewhere, and for dynamics that bring their own noise."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return x
