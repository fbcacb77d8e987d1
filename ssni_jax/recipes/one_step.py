"""One call of a denoiser: DDS, EDM's denoiser and consistency models."""

import math

from ssni_jax.core.protocols import Denoiser, Guide, NoiseSchedule
from ssni_jax.purify import ClippedEstimate, Constant, Purifier, Round, Unguided, time_of
from ssni_jax.schedules import VE, VP, CosineVP, DiscreteVP, EqualNoise, Uniform
from ssni_jax.solvers import Euler, Renoise


def one_step(
    denoise: Denoiser, *, t_star: float = 0.1, schedule: NoiseSchedule = VP(), guide: Guide = Unguided()
) -> Purifier:
    """Noise to t_star and take the denoiser's estimate, whatever kind of network it is."""
    return Purifier(denoise, schedule, (Round(Constant(t_star), Uniform(1), Euler(), guide),))


def dds(denoise: Denoiser, *, sigma: float = 0.25, schedule: NoiseSchedule = CosineVP()) -> Purifier:
    """Denoised smoothing by one DDPM step (Carlini et al. 2023, arXiv:2206.10550, algorithm 1), estimates clipped.

    `sigma` is the smoothing noise in the [0, 1] range; the noise is exactly that. The paper takes 0.25, 0.5 and 1, the
    cosine schedule of 4000 steps for CIFAR-10 and `DiscreteVP()` for ImageNet, and rounds up to a whole step:
    `one_step(denoise, t_star=step_at_least(schedule, sigma), schedule=schedule, guide=ClippedEstimate())`.
    """
    return one_step(denoise, t_star=time_of(schedule, sigma), schedule=schedule, guide=ClippedEstimate())


def edm_one_step(denoise: Denoiser, *, sigma: float = 0.25) -> Purifier:
    """EDM's denoiser (Karras et al. 2022) at smoothing noise `sigma` of the [0, 1] range, the state's 2 sigma."""
    return one_step(denoise, t_star=2 * sigma, schedule=VE())


def consistency(denoise: Denoiser, *, sigma: float = 0.25, n_steps: int = 1) -> Purifier:
    """A consistency function f(x, 2 sigma) (Consistency Purification, Li et al. 2024, arXiv:2407.00623, section 4).

    `sigma` is the smoothing noise in the [0, 1] range. More steps noise and denoise again (Song et al. 2023, algorithm
    1), at equal parts of the first noise. The released networks were fine-tuned on 18 noise
    levels: `consistency_released`.
    """
    level = 2 * sigma
    return Purifier(denoise, VE(), (Round(Constant(level), EqualNoise(n_steps), Renoise()),))


def step_at_least(schedule: DiscreteVP | CosineVP, sigma: float) -> float:
    """The time of smoothing noise `sigma`, rounded up to a whole step of the table (Carlini et al. 2023)."""
    return math.ceil(time_of(schedule, sigma) * schedule.n - 1e-3) / schedule.n
