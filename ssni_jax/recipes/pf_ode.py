"""The probability-flow ODE from a given noise: EDM's sampler, started at the noised image."""

from ssni_jax.core.protocols import Denoiser
from ssni_jax.purify import Constant, Purifier, Round
from ssni_jax.schedules import VE, Karras
from ssni_jax.solvers import Heun


def pf_ode(denoise: Denoiser, *, sigma: float = 0.25, n_steps: int = 7) -> Purifier:
    """Heun's steps down Karras's levels to 0.002, then Euler's to zero (Karras et al. 2022, algorithm 1).

    `sigma` is the smoothing noise in the [0, 1] range. The levels below 0.5, 1 and 2 of EDM's 18 are 7, 8 and 9, the
    numbers of steps that Consistency Purification's baseline takes for sigma 0.25, 0.5 and 1.
    """
    return Purifier(denoise, VE(), (Round(Constant(2 * sigma), Karras(n_steps), Heun()),))
