"""GDMP (Wang et al. 2022, arXiv:2205.14969): short rounds, each estimate pulled towards the input."""

from ssni_jax.core.protocols import Denoiser, Guide, NoiseSchedule
from ssni_jax.purify import (
    Annealed,
    Chain,
    ClippedEstimate,
    Constant,
    NegativeMse,
    Noised,
    Plain,
    Purifier,
    Round,
    Ssim,
    TowardsInput,
)
from ssni_jax.schedules import DiscreteVP, Respaced, Strided
from ssni_jax.solvers import Ancestral, FixedLarge

MSE = Chain((ClippedEstimate(), TowardsInput(NegativeMse(), Annealed(600.0, 8 / 255), Noised())))
SSIM = Chain((ClippedEstimate(), TowardsInput(Ssim(), Annealed(10.0, 8 / 255), Noised())))
SSIM_PLAIN = Chain((ClippedEstimate(), TowardsInput(Ssim(), Annealed(1000 / 60, 4 / 255), Plain())))


def gdmp(
    denoise: Denoiser,
    *,
    guide: Guide = MSE,
    t_star: float = 0.036,
    n_steps: int = 36,
    n_rounds: int = 4,
    schedule: NoiseSchedule = DiscreteVP(),
) -> Purifier:
    """GDMP (algorithm 1): `n_rounds` times noise to t_star and DDPM steps of fixed-large variance back, guided.

    By default 4 rounds of 36 steps guided by MSE, the paper's CIFAR-10 setting. The published guide scales, 60000 for
    MSE and 1000 for SSIM, are divided by batches of 100 images (60 on ImageNet) in the released code's means over the
    batch; here strengths are those of one image, whatever its batch.
    """
    step = Ancestral(variance=FixedLarge())
    level, grid = Constant(t_star), Strided(n_steps, t_star)
    return Purifier(denoise, schedule, (Round(level, grid, step, guide, repeats=n_rounds),))


def gdmp_cifar10_bpda(denoise: Denoiser) -> Purifier:
    """The setting against BPDA on CIFAR-10: 2 rounds of 60 steps, guided by SSIM."""
    return gdmp(denoise, guide=SSIM, t_star=0.06, n_steps=60, n_rounds=2)


def gdmp_imagenet(denoise: Denoiser) -> Purifier:
    """The ImageNet setting: one round of 45 of 250 steps, guided by SSIM with the input as it is."""
    return gdmp(denoise, guide=SSIM_PLAIN, t_star=45 / 250, n_steps=45, n_rounds=1, schedule=Respaced(250))
