"""DiffPure's third process: Langevin dynamics around the input (Nie et al. 2022, appendix; LDSDE in its code)."""

from ssni_jax.core.protocols import Denoiser
from ssni_jax.purify import AsGiven, Constant, Purifier, Round, Tethered
from ssni_jax.schedules import VP, Clock, Strided
from ssni_jax.solvers import Drift


def diffpure_ldsde(
    denoise: Denoiser,
    *,
    t_star: float = 0.1,
    n_steps: int = 10,
    rate: float = 1e-2,
    temperature: float = 5.0,
    variance: float = 1e-3,
    t_score: float = 0.01,
) -> Purifier:
    """dx = rate / 2 (score(x) - (x - x_in) / variance) dt + temperature sqrt(rate) dW over a time of t_star.

    The score is the VP one at the fixed time `t_score`. Defaults are those of the released code, whose steps are 0.01
    long; t_star is the time of the dynamics, not a noise level, and the walk starts at the input itself.
    """
    guide = Tethered(VP(), t_score, rate, variance)
    step = Drift(temperature * rate**0.5)
    return Purifier(
        denoise, Clock(), (Round(Constant(t_star), Strided(n_steps, t_star), step, guide, noise=AsGiven()),)
    )
