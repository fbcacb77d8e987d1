"""Divide and Conquer (Pei et al., CVPR 2025): more noise where the classifier looks."""

import jax.numpy as jnp

from ssni_jax.core.protocols import Denoiser, NoiseSchedule, Step
from ssni_jax.purify import Constant, OutsideKept, Purifier, Round
from ssni_jax.purify.guides.masks import Masking
from ssni_jax.schedules import DiscreteVP, Strided
from ssni_jax.solvers import Ancestral


def divide_and_conquer(
    denoise: Denoiser,
    mask: Masking,
    *,
    t_star: float = 0.2,
    t_outside: float = 0.1,
    n_steps: int = 100,
    step: Step = Ancestral(eta=0.0),
    schedule: NoiseSchedule = DiscreteVP(),
) -> Purifier:
    """Noise of t_star inside `mask(image)`, of t_outside elsewhere, and DDIM steps back (section 4).

    By default the setting for CIFAR-10, with `mask=Attention(activations, 0.9)`; ImageNet takes 0.4 and 0.2. Outside
    the mask the state keeps its own noise from step to step, where the released code draws it anew, and the resampling
    steps (three forward steps before each reverse one) are left out.
    """
    guide = OutsideKept(mask, float(schedule.sigma(jnp.asarray(t_outside))))
    return Purifier(denoise, schedule, (Round(Constant(t_star), Strided(n_steps, t_star), step, guide),))
