"""Steps discretised in the coordinates of a variance-preserving state, as DiffPure's released code takes them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over, safe_sqrt
from ssni_jax.core.protocols import NoiseSchedule, Step
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.schedules import VP, DiscreteVP


@pytree
class VpEuler:
    """Euler step of the probability-flow ODE (Song et al. 2021, eq. 13) of the scaled state.

    `schedule` is the process that is integrated, `noised_by` the one of the purifier, which noised the image: the
    released code draws from a table and integrates the continuous process from there. It stops at `t_end` and hands
    that state over as the image, so to noise zero the step goes to `t_end` and divides by the scale at zero, one.
    """

    n_calls = 1
    schedule: NoiseSchedule = VP()
    noised_by: NoiseSchedule = VP()
    t_end: float | Float[Array, ""] = 1e-5

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        t, dt = _times(self.noised_by, self.t_end, hi, lo)
        state = over(self.noised_by.scale(t), x) * x
        drift, variance, slope = _reverse(self.schedule, denoise, state, t)
        moved = state + over(dt, x) * (drift + over(variance / 2, x) * slope)
        return moved / over(_scale(self.noised_by, lo), x)


@pytree
class VpEulerMaruyama:
    """Euler-Maruyama step of the reverse SDE (Song et al. 2021, eq. 6) of the scaled state; fields as in `VpEuler`."""

    n_calls = 1
    schedule: NoiseSchedule = VP()
    noised_by: NoiseSchedule = VP()
    t_end: float | Float[Array, ""] = 1e-5

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        t, dt = _times(self.noised_by, self.t_end, hi, lo)
        state = over(self.noised_by.scale(t), x) * x
        drift, variance, slope = _reverse(self.schedule, denoise, state, t)
        noise = over(safe_sqrt(variance * dt), x) * normal_like(keys, x)
        moved = state + over(dt, x) * (drift + over(variance, x) * slope) + noise
        return moved / over(_scale(self.noised_by, lo), x)


@pytree
class Shifted:
    """A step of the scaled state that believes it `shift` later in time than it is: SSNI-L's released index shift.

    Noise zero stays noise zero.
    """

    step: Step
    schedule: NoiseSchedule = DiscreteVP()
    shift: float | Float[Array, ""] = 0.005

    @property
    def n_calls(self) -> int:
        return self.step.n_calls

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images:
        later_hi, later_lo = (self._later(sigma) for sigma in (hi, lo))
        state = over(_scale(self.schedule, hi) / _scale(self.schedule, later_hi), x) * x
        moved = self.step(keys, denoise, state, later_hi, later_lo)
        return over(_scale(self.schedule, later_lo) / _scale(self.schedule, lo), x) * moved

    def _later(self, sigma: Level) -> Level:
        return jnp.where(sigma == 0, 0.0, self.schedule.sigma(self.schedule.inverse(sigma) + self.shift))


def _times(schedule, t_end, hi, lo):
    """Where the step begins, and how long it is; a sample that is past `t_end` already stays."""
    t = schedule.inverse(hi)
    return t, jnp.maximum(t - jnp.maximum(schedule.inverse(lo), t_end), 0.0)


def _reverse(schedule, denoise, state, t):
    """Minus the forward drift, the squared diffusion coefficient, and the score of the scaled state at t."""
    log_scale, rate = jax.jvp(lambda t: jnp.log(schedule.scale(t)), (t,), (jnp.ones_like(t),))
    scale, sigma = jnp.exp(log_scale), schedule.sigma(t)
    x = state / over(scale, state)
    slope = (denoise(x, sigma) - x) / over(jnp.square(sigma) * scale, x)
    return -over(rate, x) * state, -2 * rate, slope


def _scale(schedule, sigma):
    return schedule.scale(schedule.inverse(sigma))
