"""Variance-preserving noise in continuous and in discrete time, seen as the noise sigma of the unscaled state."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssni_jax.core.arrays import safe_sqrt
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static

Times = Float[Array, "*s"]


@pytree
class VP:
    """VP-SDE of Song et al. 2021, eqs. 32-33: 1 + sigma^2 = exp(t^2 (beta_max - beta_min) / 2 + t beta_min)."""

    n_integer_steps = 1000
    beta_min: float = bounded(0, default=0.1)
    beta_max: float = bounded(0, above=True, default=20.0)

    def sigma(self, t: Times) -> Times:
        return safe_sqrt(jnp.expm1(self._log_variance(t)))

    def scale(self, t: Times) -> Times:
        return jnp.exp(-0.5 * self._log_variance(t))

    def inverse(self, sigma: Times) -> Times:
        """Positive root of the quadratic in t, in the form that does not cancel at small sigma."""
        log_variance = jnp.log1p(jnp.square(sigma))
        root = safe_sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * log_variance)
        return 2 * log_variance / (root + self.beta_min)

    def _log_variance(self, t):
        return 0.5 * jnp.square(t) * (self.beta_max - self.beta_min) + t * self.beta_min


@pytree
class DiscreteVP:
    """DDPM's table of `n` steps (Ho et al. 2020): t = k / n is the noise after k steps, that is of index k - 1.

    Between two table entries sigma is interpolated linearly, so that a soft t has a gradient.
    """

    beta_first: float = static(default=1e-4)
    beta_last: float = static(default=2e-2)
    n: int = static(default=1000)

    @property
    def n_integer_steps(self) -> int:
        return self.n

    def sigma(self, t: Times) -> Times:
        return look_up(t, self.table())

    def scale(self, t: Times) -> Times:
        return 1 / jnp.sqrt(1 + jnp.square(self.sigma(t)))

    def inverse(self, sigma: Times) -> Times:
        return find(sigma, self.table())

    def table(self) -> np.ndarray:
        """sigma_0 to sigma_n, float64."""
        return discrete_sigmas(self.beta_first, self.beta_last, self.n)


@pytree
class CosineVP:
    """The cosine table of `n` steps (Nichol & Dhariwal 2021, eq. 17), otherwise like `DiscreteVP`.

    The noise after k steps has abar = cos^2((k / n + offset) / (1 + offset) pi / 2), no step's beta above `beta_max`.
    """

    n: int = static(default=4000)
    offset: float = static(default=0.008)
    beta_max: float = static(default=0.999)

    @property
    def n_integer_steps(self) -> int:
        return self.n

    def sigma(self, t: Times) -> Times:
        return look_up(t, self.table())

    def scale(self, t: Times) -> Times:
        return 1 / jnp.sqrt(1 + jnp.square(self.sigma(t)))

    def inverse(self, sigma: Times) -> Times:
        return find(sigma, self.table())

    def table(self) -> np.ndarray:
        """sigma_0 to sigma_n, float64."""
        return cosine_sigmas(self.n, self.offset, self.beta_max)


@functools.cache
def discrete_sigmas(beta_first: float, beta_last: float, n: int) -> np.ndarray:
    """sigma_k = sqrt((1 - abar_k) / abar_k) for k = 0 ... n in float64, betas linearly spaced."""
    return _sigmas(np.linspace(beta_first, beta_last, n))


@functools.cache
def cosine_sigmas(n: int, offset: float, beta_max: float) -> np.ndarray:
    """sigma_k for k = 0 ... n in float64, abar_k a squared cosine."""
    abar = np.square(np.cos((np.arange(n + 1) / n + offset) / (1 + offset) * np.pi / 2))
    return _sigmas(np.minimum(1 - abar[1:] / abar[:-1], beta_max))


def _sigmas(betas: np.ndarray) -> np.ndarray:
    log_abar = np.cumsum(np.log1p(-betas))
    return np.concatenate([[0.0], np.sqrt(np.expm1(-log_abar))])


def look_up(t: Times, table: np.ndarray) -> Times:
    """sigma at t, between the entries of a table of equal times."""
    n = len(table) - 1
    return jnp.interp(t * n, jnp.arange(n + 1, dtype=jnp.float32), jnp.asarray(table, jnp.float32))


def find(sigma: Times, table: np.ndarray) -> Times:
    """The inverse of `look_up`."""
    n = len(table) - 1
    return jnp.interp(sigma, jnp.asarray(table, jnp.float32), jnp.arange(n + 1, dtype=jnp.float32)) / n
