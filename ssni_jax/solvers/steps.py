"""One move from noise `hi` to noise `lo` of the unscaled state x = x0 + sigma * n; `lo` may be zero, `hi` may not."""

import jax.numpy as jnp

from ssni_jax.core.arrays import over, safe_sqrt
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.solvers.variance import FixedSmall, Variance, posterior_deviation


@pytree
class Euler:
    """Probability-flow step, Karras et al. 2022, eqs. 1 and 3 with sigma(t) = t."""

    n_calls = 1

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        return x + over(lo - hi, x) * _slope(denoise, x, hi)


@pytree
class Heun:
    """Second-order probability-flow step, Karras et al. 2022, algorithm 1; to noise zero it is Euler's step."""

    n_calls = 2

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        slope = _slope(denoise, x, hi)
        euler = x + over(lo - hi, x) * slope
        corrected = (slope + _slope(denoise, euler, jnp.where(lo == 0, hi, lo))) / 2
        return jnp.where(over(lo == 0, x), euler, x + over(lo - hi, x) * corrected)


@pytree
class EulerMaruyama:
    """Reverse-SDE step with clock sigma^2, the reverse diffusion sampler of Song et al. 2021, eq. 46."""

    n_calls = 1

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        variance = jnp.square(hi) - jnp.square(lo)
        drift = over(variance / jnp.square(hi), x) * (denoise(x, hi) - x)
        return x + drift + over(safe_sqrt(variance), x) * normal_like(keys, x)


@pytree
class Ancestral:
    """DDPM at eta 1 (Ho et al. 2020, eq. 11), DDIM at eta 0 (Song et al. 2020, eq. 12), written in sigma.

    Other variances than `FixedSmall` change the noise and leave the mean.
    """

    n_calls = 1
    eta: float = bounded(0, default=1.0)
    variance: Variance = FixedSmall()

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        x0, deviation = self.variance(denoise, x, hi, lo)
        down = safe_sqrt(jnp.square(lo) - jnp.square(self.eta * posterior_deviation(hi, lo)))
        return x0 + over(down / hi, x) * (x - x0) + self.eta * deviation * normal_like(keys, x)


@pytree
class Renoise:
    """Denoise, then noise afresh: multistep consistency sampling, Song et al. 2023, algorithm 1."""

    n_calls = 1

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        return denoise(x, hi) + over(lo, x) * normal_like(keys, x)


@pytree
class RandomSampling:
    """The estimate with the ancestral step's fresh noise, the old noise dropped (Zhang et al. 2024, arXiv:2411.18956).

    The state then has less noise than the levels say: DDPM adds what is missing from the old one, DDIM all of it.
    """

    n_calls = 1

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        return denoise(x, hi) + over(posterior_deviation(hi, lo), x) * normal_like(keys, x)


@pytree
class Drift:
    """Euler-Maruyama step of dx = (denoise(x) - x) dt + noise dW, in the walk's own time."""

    n_calls = 1
    noise: float

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        dt = hi - lo
        moved = x + over(dt, x) * (denoise(x, hi) - x)
        return moved + over(self.noise * safe_sqrt(dt), x) * normal_like(keys, x)


def _slope(denoise, x, sigma):
    return (x - denoise(x, sigma)) / over(sigma, x)
