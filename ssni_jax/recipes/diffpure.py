"""DiffPure (Nie et al. 2022, arXiv:2205.07460): one fixed noise level for every image."""

from ssni_jax.core.protocols import Denoiser, NoiseSchedule, Step
from ssni_jax.purify import Constant, Purifier, Round
from ssni_jax.schedules import VP, Strided
from ssni_jax.solvers import Ancestral, Euler, EulerMaruyama


def unpurified(denoise: Denoiser, schedule: NoiseSchedule = VP()) -> Purifier:
    """No rounds: the image itself, the row that every defence is compared with."""
    return Purifier(denoise, schedule, rounds=())


def diffpure(
    denoise: Denoiser, step: Step, *, t_star: float = 0.1, n_steps: int = 100, schedule: NoiseSchedule = VP()
) -> Purifier:
    """DiffPure (Nie et al. 2022): noise every image to t_star, walk back in `n_steps` equal steps of time.

    The paper takes t_star 0.1 (CIFAR-10, Linf), 0.075 (CIFAR-10, L2) and 0.15 (ImageNet).
    """
    level = Constant(t_star)
    return Purifier(denoise, schedule, (Round(level, Strided(n_steps, t_star), step),))


def diffpure_sde(denoise: Denoiser, **options) -> Purifier:
    """DiffPure by the reverse SDE, its main setting; options as in `diffpure`."""
    return diffpure(denoise, EulerMaruyama(), **options)


def diffpure_ode(denoise: Denoiser, **options) -> Purifier:
    """DiffPure by the probability-flow ODE; options as in `diffpure`."""
    return diffpure(denoise, Euler(), **options)


def diffpure_ddpm(denoise: Denoiser, **options) -> Purifier:
    """DiffPure by ancestral sampling, the base of SSNI's experiments; options as in `diffpure`."""
    return diffpure(denoise, Ancestral(), **options)


def diffpure_ddim(denoise: Denoiser, **options) -> Purifier:
    """DiffPure by deterministic DDIM steps; options as in `diffpure`."""
    return diffpure(denoise, Ancestral(eta=0.0), **options)
