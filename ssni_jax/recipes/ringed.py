"""Amplified noise, extra noise in the sampler and a ring around the input: ours, after the abstract of NADD."""

import jax.numpy as jnp

from ssni_jax.core.protocols import Denoiser, NoiseSchedule, Step
from ssni_jax.purify import Amplified, Constant, Purifier, Round
from ssni_jax.schedules import VP, Strided
from ssni_jax.solvers import Churned, Euler, Ringed


def ringed(
    denoise: Denoiser,
    *,
    amplification: float = 1.2,
    width: float = 0.1,
    t_until: float = 0.05,
    churn: float = 0.1,
    t_star: float = 0.1,
    n_steps: int = 20,
    step: Step = Euler(),
    schedule: NoiseSchedule = VP(),
) -> Purifier:
    """`amplification` times the noise of t_star, then churned steps that stay in the ring of `width` down to t_until.

    An interpretation: the abstract of NADD (Nguyen et al. 2026, arXiv:2601.01109) names amplified noise, a correction
    towards the shell of a correctly noised input, and extra noise in the reverse process; its formulas are not public.
    No number of that paper belongs to this recipe, and every default is ours.
    """
    until = float(schedule.sigma(jnp.asarray(t_until)))
    walked = Ringed(Churned(step, churn), width, until)
    return Purifier(
        denoise, schedule, (Round(Constant(t_star), Strided(n_steps, t_star), walked, noise=Amplified(amplification)),)
    )
