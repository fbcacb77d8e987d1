"""Guided generation (Wu, Ye & Gu 2022, arXiv:2206.10875): from pure noise, led by the image alone."""

from ssni_jax.core.protocols import Denoiser, Guide, Noise, NoiseSchedule
from ssni_jax.purify import Constant, Diffused, EstimateTowards, Fixed, NegativeL1, NoiseAlone, Purifier, Round
from ssni_jax.schedules import DiscreteVP, Strided
from ssni_jax.solvers import Ancestral

MIMIC = EstimateTowards(NegativeL1(), Fixed(2 * 3000 / 16), detached=True)


def from_noise(
    denoise: Denoiser,
    guide: Guide,
    *,
    n_steps: int = 1000,
    noise: Noise = Diffused(),
    schedule: NoiseSchedule = DiscreteVP(),
) -> Purifier:
    """Ancestral steps from the top of the schedule with a guide towards the image, such as `TowardsInput`.

    The state starts with noise about 150 times the image, or with `noise=NoiseAlone()` without it. The paper's strength
    is not known to this library, so that the guide is the caller's.
    """
    return Purifier(denoise, schedule, (Round(Constant(1.0), Strided(n_steps, 1.0), Ancestral(), guide, noise=noise),))


def mimicdiffusion(denoise: Denoiser, *, guide: Guide = MIMIC, n_steps: int = 100) -> Purifier:
    """MimicDiffusion (Song et al. 2024, code), a cautionary row: from noise alone, no gradient from image to result.

    The input acts through the sign of its difference to the estimate, with a stopped gradient, so an attack sees an
    exactly zero slope, and the published robustness says nothing about the defence; `detached=False` in the guide, and
    gradient-free attacks, do. The strength is that of the code's batches of 16, whose two distances, of the image and
    of its enlargement, have equal gradients. It moves the estimate here, and the next state there: an interpretation.
    """
    return from_noise(denoise, guide, n_steps=n_steps, noise=NoiseAlone())
