"""Methods whose own part is the training of their network: ADBM and FlowPure."""

from ssni_jax.core.protocols import Denoiser, NoiseSchedule
from ssni_jax.purify import Constant, Purifier, Round
from ssni_jax.recipes.diffpure import diffpure_ddim
from ssni_jax.schedules import VE, VP, EqualNoise
from ssni_jax.solvers import Euler


def adbm(denoise: Denoiser, *, t_star: float = 0.1, n_steps: int = 5, schedule: NoiseSchedule = VP()) -> Purifier:
    """ADBM (Li et al., ICLR 2025, code): five DDIM steps from t_star 0.1, with a network trained by `BridgeLoss`."""
    return diffpure_ddim(denoise, t_star=t_star, n_steps=n_steps, schedule=schedule)


def flowpure(denoise: Denoiser, *, sigma: float = 0.15, n_steps: int = 9) -> Purifier:
    """FlowPure (arXiv:2505.13280, code), Gaussian: Euler's steps of the flow from noise `sigma` of the [0, 1] range.

    The denoiser is a velocity network over `FlowCoefficients`, trained by `FlowMatchingLoss`, whose steps of equal time
    are equal steps of noise. The paper's other noise is 0.2; its 10 points of time make 9 steps.
    """
    return Purifier(denoise, VE(), (Round(Constant(2 * sigma), EqualNoise(n_steps), Euler()),))
