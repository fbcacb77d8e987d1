"""Guided generation (Wu, Ye & Gu 2022, arXiv:2206.10875): from pure noise, led by the image alone."""

from ssni_jax.core.protocols import Denoiser, Guide, NoiseSchedule
from ssni_jax.purify import Constant, Purifier, Round
from ssni_jax.schedules import DiscreteVP, Strided
from ssni_jax.solvers import Ancestral


def from_noise(
    denoise: Denoiser, guide: Guide, *, n_steps: int = 1000, schedule: NoiseSchedule = DiscreteVP()
) -> Purifier:
    """Ancestral steps from the top of the schedule with a guide towards the image, such as `TowardsInput`.

    The state starts with noise about 150 times the image instead of noise alone. The paper's strength is not known to
    this library, so that the guide is the caller's.
    """
    return Purifier(denoise, schedule, (Round(Constant(1.0), Strided(n_steps, 1.0), Ancestral(), guide),))
