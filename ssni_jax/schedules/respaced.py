"""A table of noise levels of which only some are walked: timestep respacing."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssni_jax.core.pytree import pytree, static
from ssni_jax.schedules.vp import CosineVP, DiscreteVP, find, look_up

Times = Float[Array, "*s"]


@pytree
class Respaced:
    """`n_kept` evenly spaced steps of a table, the first and last included (Nichol & Dhariwal 2021, section 4).

    At t = k / n_kept it has the noise after the k-th kept step. The network keeps the labels of the whole table, which
    its own coefficient function finds by sigma.
    """

    n_kept: int = static()
    base: DiscreteVP | CosineVP = DiscreteVP()

    def __post_init__(self):
        if not 2 <= self.n_kept <= self.base.n:
            raise ValueError(f"n_kept={self.n_kept} steps cannot be kept of {self.base.n}: choose 2 to {self.base.n}.")

    @property
    def n_integer_steps(self) -> int:
        return self.n_kept

    def sigma(self, t: Times) -> Times:
        return look_up(t, self.table())

    def scale(self, t: Times) -> Times:
        return 1 / jnp.sqrt(1 + jnp.square(self.sigma(t)))

    def inverse(self, sigma: Times) -> Times:
        return find(sigma, self.table())

    def kept(self) -> np.ndarray:
        """Indices of the kept steps in the whole table."""
        return np.round(np.arange(self.n_kept) * (self.base.n - 1) / (self.n_kept - 1)).astype(int)

    def table(self) -> np.ndarray:
        """sigma_0 to sigma_n_kept, float64."""
        return self.base.table()[np.concatenate([[0], 1 + self.kept()])]
