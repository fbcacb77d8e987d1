"""Preconditioning: the coefficients that turn a raw network into a denoiser (Karras et al. 2022, eq. 7 and table 1)."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import NoiseSchedule
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Images, Level, Tree


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in and c_noise of each row."""

    skip: Level
    out: Level
    in_: Level
    noise: Level


@runtime_checkable
class CoefficientFunction(Protocol):
    """Noise level to coefficients, finite at sigma = 0."""

    def __call__(self, sigma: Level) -> Coefficients: ...


@pytree
class Preconditioned:
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), a Denoiser over the raw network F."""

    network: Tree
    coefficients: CoefficientFunction

    def __call__(self, x: Images, sigma: Level, **conditions: Any) -> Images:
        c = self.coefficients(sigma)
        return over(c.skip, x) * x + over(c.out, x) * self.network(over(c.in_, x) * x, c.noise, **conditions)


@pytree
class EdmCoefficients:
    """EDM's own column of table 1; `sigma_data` is the standard deviation of the data in [-1, 1]."""

    sigma_data: float | Float[Array, ""] = 0.5

    def __call__(self, sigma: Level) -> Coefficients:
        total = jnp.square(sigma) + jnp.square(self.sigma_data)
        in_ = 1 / jnp.sqrt(total)
        return Coefficients(jnp.square(self.sigma_data) / total, sigma * self.sigma_data * in_, in_, _log(sigma) / 4)


@pytree
class VpCoefficients:
    """Networks that predict the noise of a VP state at label 999 t (score_sde's DDPM++): the VP column of table 1."""

    schedule: NoiseSchedule
    n_labels: float | Float[Array, ""] = 999.0

    def __call__(self, sigma: Level) -> Coefficients:
        in_ = 1 / jnp.sqrt(jnp.square(sigma) + 1)
        return Coefficients(jnp.ones_like(sigma), -sigma, in_, self.n_labels * self.schedule.inverse(sigma))


@pytree
class VeCoefficients:
    """Networks that predict the negative noise at label log(sigma / 2) (EDM's NCSN++): the VE column of table 1."""

    def __call__(self, sigma: Level) -> Coefficients:
        one = jnp.ones_like(sigma)
        return Coefficients(one, sigma, one, _log(sigma / 2))


def _log(v: Level) -> Level:
    """log with log 0 = 0: c_out is zero there, so any finite label serves; NaN stays NaN."""
    return jnp.log(jnp.where(v == 0, 1.0, v))
