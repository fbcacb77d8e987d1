"""GNS (Lee & Kim, ICCV 2023, arXiv:2303.09051): several rounds of growing noise."""

from collections.abc import Sequence

from ssni_jax.core.protocols import Denoiser, NoiseSchedule, Step
from ssni_jax.purify import Constant, Purifier, Round
from ssni_jax.schedules import DiscreteVP, Strided
from ssni_jax.solvers import Ancestral

CIFAR10 = ((30, 4), (50, 2), (125, 2))
IMAGENET = ((30, 4), (50, 2), (200, 2))
SVHN = ((30, 4), (50, 2), (80, 2))


def gns(
    denoise: Denoiser,
    *,
    rounds: Sequence[tuple[int, int]] = CIFAR10,
    stride: int = 1,
    step: Step = Ancestral(),
    schedule: NoiseSchedule = DiscreteVP(),
    n: int = 1000,
) -> Purifier:
    """Gradual noise scheduling (section 5): for each (k, repeats) noise to k of `n` steps, and DDPM steps back.

    Steps are `stride` of the schedule's long, as many as there are by default. The paper decides by a majority of ten
    purifications: `Vote(Defense(gns(...), classify), 10)`.
    """
    steps = ((k / n, -(-k // stride), repeats) for k, repeats in rounds)
    built = tuple(Round(Constant(t), Strided(n_steps, t), step, repeats=repeats) for t, n_steps, repeats in steps)
    return Purifier(denoise, schedule, built)
