"""DiffSmooth (Zhang et al., USENIX Security 2023): denoise once, then smooth the classifier around the result."""

from ssni_jax.core.protocols import Classifier, Denoiser, NoiseSchedule
from ssni_jax.purify import Noisy, Then, Vote
from ssni_jax.recipes.one_step import dds
from ssni_jax.schedules import CosineVP


def diffsmooth(
    denoise: Denoiser,
    classify: Classifier,
    *,
    sigma: float = 0.5,
    local: float = 0.25,
    n: int = 5,
    schedule: NoiseSchedule = CosineVP(),
) -> Then:
    """A predictor: `dds` from noise `sigma`, then a majority of `n` copies with noise `local`, both of [0, 1] images.

    Defaults are those of the released certification of CIFAR-10; the classifier is one trained on noise `local`.
    Certify it as any predictor: smoothing's noise takes the place of the first.
    """
    return Then(dds(denoise, sigma=sigma, schedule=schedule), Vote(Noisy(classify, local), n))
