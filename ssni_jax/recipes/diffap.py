"""DiffAP (Zhang et al. 2024, arXiv:2411.18956): sampling that forgets its noise, held near the input by a mediator."""

from ssni_jax.core.protocols import Denoiser, Guide, NoiseSchedule, Step
from ssni_jax.purify import Constant, EstimateTowards, Fading, NegativeMse, Purifier, Round
from ssni_jax.schedules import DiscreteVP, Strided
from ssni_jax.solvers import RandomSampling

MEDIATOR = EstimateTowards(NegativeMse(), Fading(30000 / 16))


def diffap(
    denoise: Denoiser,
    *,
    guide: Guide = MEDIATOR,
    t_star: float = 1.0,
    n_steps: int = 5,
    step: Step = RandomSampling(),
    schedule: NoiseSchedule = DiscreteVP(),
) -> Purifier:
    """Random sampling under mediator guidance, the released script's setting: five steps from the top of the schedule.

    The mediator moves each estimate by min(1, 2 scale sqrt(abar) / d) of its way to the input, d pixels an image; the
    released scale is 30000 for batches of 16. For CIFAR-10's d = 3072 that is 0.99 of the way in the last of the five
    steps, so that hardly anything is purified, and the script's attack differentiates a chain without the mediator.
    """
    return Purifier(denoise, schedule, (Round(Constant(t_star), Strided(n_steps, t_star), step, guide),))
