"""Purification by optimising the image: likelihood maximisation and ScoreOpt."""

from ssni_jax.core.protocols import Denoiser
from ssni_jax.purify import AsGiven, Constant, Purifier, Round
from ssni_jax.schedules import VE, VP, EqualNoise, Strided, Uniform
from ssni_jax.solvers import Around, Between, DenoisingError, Euler, NoiseError, Optimise


def likelihood_maximization(
    denoise: Denoiser, *, sigma: float = 0.5, spread: float = 0.1, n_steps: int = 5, learning_rate: float = 0.1
) -> Purifier:
    """LM (Chen et al. 2024, arXiv:2305.15241): Adam on |D(x + s n) - x|^2, s within `spread` of `sigma` in each step.

    Levels are those of the state in [-1, 1]; defaults are the evaluated setting, s from 0.4 to 0.6. SSNI's t(x) scales
    the range of s. The gradient goes through the denoiser to second order, and through both of Adam's moments, the
    second of which DiffHammer's implementation holds; its ball of radius 200 around the input never binds.
    """
    step = Optimise(DenoisingError(Around(spread / sigma)), learning_rate)
    return Purifier(denoise, VE(), (Round(Constant(sigma), EqualNoise(n_steps), step, noise=AsGiven()),))


def likelihood_maximization_by_steps(
    denoise: Denoiser,
    *,
    t_star: float = 0.1,
    low: float = 0.4,
    high: float = 0.6,
    n_steps: int = 5,
    learning_rate: float = 0.1,
) -> Purifier:
    """LM at levels between `low` and `high` for every image: SSNI's t(x) gives the number of steps, n_steps at t_star.

    Without SSNI it is `likelihood_maximization` whatever t_star is. This way of adapting LM is this library's own.
    """
    step = Optimise(DenoisingError(Between(low, high)), learning_rate)
    return Purifier(denoise, VP(), (Round(Constant(t_star), Strided(n_steps, t_star), step, noise=AsGiven()),))


def scoreopt_o(
    denoise: Denoiser, *, sigma: float = 0.25, spread: float = 0.1, n_steps: int = 20, learning_rate: float = 0.01
) -> Purifier:
    """ScoreOpt-O (Zhang et al. 2023, arXiv:2307.04333, code): LM's discrepancy, with other levels and steps.

    Defaults are those against transferred attacks; against BPDA it takes sigma 0.5 and 5 steps of 0.1, which is LM.
    The released code draws one level for its whole batch, here each image has its own.
    """
    return likelihood_maximization(denoise, sigma=sigma, spread=spread, n_steps=n_steps, learning_rate=learning_rate)


def scoreopt_n(denoise: Denoiser, *, sigma: float = 0.25, n_steps: int = 5, learning_rate: float = 0.1) -> Purifier:
    """ScoreOpt-N (Zhang et al. 2023, arXiv:2307.04333, code): x + sigma n, moved until D finds n; its estimate there.

    Defaults are those against transferred attacks; against PGD with EOT it takes sigma 0.5 and 20 steps.
    """
    step = Optimise(NoiseError(), learning_rate)
    optimised = Round(Constant(sigma), EqualNoise(n_steps), step)
    return Purifier(denoise, VE(), (optimised, Round(Constant(sigma), Uniform(1), Euler(), noise=AsGiven())))
