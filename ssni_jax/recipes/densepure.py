"""DensePure (Xiao et al., ICLR 2023, arXiv:2211.00322): several steps, and a majority over several seeds."""

from ssni_jax.core.protocols import Denoiser, NoiseSchedule
from ssni_jax.purify import Constant, Purifier, Round, time_of
from ssni_jax.schedules import CosineVP, Uniform
from ssni_jax.solvers import Ancestral


def densepure(
    denoise: Denoiser, *, sigma: float = 0.25, n_steps: int = 10, schedule: NoiseSchedule = CosineVP()
) -> Purifier:
    """`n_steps` strided DDPM steps from the noise of smoothing with `sigma`, in the [0, 1] range (algorithm 1).

    The paper decides by a majority over seeds of the reverse process: `Vote(Defense(densepure(...), classify), n)`.
    """
    level = Constant(time_of(schedule, sigma))
    return Purifier(denoise, schedule, (Round(level, Uniform(n_steps), Ancestral()),))
