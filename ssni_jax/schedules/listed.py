"""A grid of indices that a publication lists."""

import jax.numpy as jnp
import numpy as np

from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Level, Levels


@pytree
class Listed:
    """From t down the listed `indices` of a table of `n` steps; index i has the noise after i + 1 steps (0-based code).

    The last index is where t is meant to be: a t below some of them starts at the first that it reaches, a t above
    takes a longer first step.
    """

    indices: tuple[int, ...] = static()
    n: int = static(default=1000)

    def __post_init__(self):
        object.__setattr__(self, "indices", tuple(self.indices))
        if not self.indices or self.indices[0] < 0 or np.any(np.diff(self.indices) <= 0):
            raise ValueError(f"Listed indices ascend from 0 or more, and {self.indices} do not: sort them.")

    @property
    def n_steps(self) -> int:
        return len(self.indices)

    def __call__(self, t: Level) -> Levels:
        below = jnp.asarray([(i + 1) / self.n for i in self.indices[-2::-1]], jnp.float32)[:, None]
        return jnp.concatenate([t[None], jnp.minimum(t, below), jnp.zeros_like(t)[None]])
