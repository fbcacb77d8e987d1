"""Methods as their authors released them, where the code differs from the paper; each difference is a named option.

They reproduce published numbers. For new work take the plain recipes: they keep the laws that some of these break.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from ssni_jax.core.protocols import Denoiser, NoiseLevel, Step
from ssni_jax.networks import SnappedDenoiser
from ssni_jax.purify import Calibration, Constant, Purifier, Round, Rounded, ScoreNorm, SsniLinearOverBatch, SsniSigmoid
from ssni_jax.recipes.one_step import consistency
from ssni_jax.recipes.ssni import ssni
from ssni_jax.schedules import VP, DiscreteVP, Float32Steps, Listed, Strided
from ssni_jax.solvers import Ancestral, Shifted, VpEuler, VpEulerMaruyama

N = 1000
TABLE = DiscreteVP(1e-4, 2e-2, N)
GNS_CIFAR10 = tuple(tuple(range(t_star)) for t_star in (30, 30, 30, 30, 50, 50, 125, 125))


def consistency_released(denoise: Denoiser, *, sigma: float = 0.25) -> Purifier:
    """Consistency Purification (arXiv:2407.00623, code): the network is told the nearest of 18 noise levels.

    For the paper's `sigma` of 0.25, 0.5 and 1 these are 0.585, 1.088 and 1.923, where the noise is 0.5, 1 and 2.
    """
    return consistency(SnappedDenoiser(denoise), sigma=sigma)


def diffpure_sde_released(denoise: Denoiser, *, t_star: float = 0.1, dt: float = 1e-3, t_end: float = 1e-5) -> Purifier:
    """DiffPure's reverse SDE (Nie et al. 2022, code): noised by the table, Euler-Maruyama in VP coordinates to t_end.

    The denoiser is one over `VpCoefficients(VP())`, for ImageNet with `n_labels=1000, floored=True`.
    """
    return _diffpure(denoise, VpEulerMaruyama(VP(), TABLE, t_end), t_star, dt)


def diffpure_ode_released(denoise: Denoiser, *, t_star: float = 0.1, dt: float = 1e-3, t_end: float = 1e-5) -> Purifier:
    """DiffPure's probability-flow ODE (Nie et al. 2022, code), Euler in VP coordinates; as `diffpure_sde_released`."""
    return _diffpure(denoise, VpEuler(VP(), TABLE, t_end), t_star, dt)


def gns_released(
    denoise: Denoiser, *, indices: Sequence[Sequence[int]] = GNS_CIFAR10, step: Step = Ancestral()
) -> Purifier:
    """Gradual noise scheduling (Lee & Kim 2023, code): a round a list of ascending 0-based indices, one step each.

    The denoiser is one over `IddpmCoefficients(TABLE)`; DDIM is `step=Ancestral(eta=0.0)`. The prediction of the paper
    is a majority vote of ten runs.
    """
    rounds = tuple(Round(Constant((max(listed) + 1) / N), Listed(tuple(listed), N), step) for listed in indices)
    return Purifier(denoise, TABLE, rounds)


def ddpm_released(
    denoise: Denoiser, *, t_stars: Sequence[int] = (100,), n_steps: Sequence[int] = (100,), step: Step = Ancestral()
) -> Purifier:
    """The base purifier of SSNI's code: rounds of t_star integer steps, walked in n_steps each, never less than one.

    The denoiser is one over `IddpmCoefficients(TABLE)`. At t = 0 it still noises and denoises by one step. Indices are
    rounded in float32 as the code has them, `Float32Steps`; SSNI over this base keeps that, any other base is exact.
    """
    rounds = tuple(
        Round(Constant(t_star / N), Float32Steps(n, N, at_least=1), step)
        for t_star, n in zip(t_stars, n_steps, strict=True)
    )
    return Purifier(denoise, TABLE, rounds)


def ssni_n_released(base: Purifier, calibration: Calibration, *, tau: float = 20.0, bias: int = 5) -> Purifier:
    """SSNI-N (arXiv:2506.06027, code): t = (t_star - 1 + b) sigmoid((xi - mean) / tau), rounded; b more steps."""

    def reweight(t_star: float) -> NoiseLevel:
        return Rounded(SsniSigmoid(calibration.mean, tau, t_star - 1 / N, bias / N), N)

    return _over_labels(ssni(base, calibration, reweight, bias=bias / N), calibration)


def ssni_l_released(
    base: Purifier, calibration: Calibration, *, bias: int = 5, shift_indices: bool = False
) -> Purifier:
    """SSNI-L (arXiv:2506.06027, code): t = (t_star - 1) (xi - low) / (high - low) + b, rounded, and no more steps.

    The range is widened by the batch, so that a row's t depends on its neighbours. With `shift_indices` the walk starts
    b steps above the noise that was added, as the code's forward pass does (but not what BPDA differentiates).
    """

    def reweight(t_star: float) -> NoiseLevel:
        return Rounded(SsniLinearOverBatch(calibration.low, calibration.high, t_star - 1 / N, bias / N), N)

    purifier = _over_labels(ssni(base, calibration, reweight, bias=0.0), calibration)
    return _shifted(purifier, bias / N) if shift_indices else purifier


def _diffpure(denoise: Denoiser, step: Step, t_star: float, dt: float) -> Purifier:
    n_steps = math.ceil(t_star / dt - 1e-6)
    return Purifier(denoise, TABLE, (Round(Constant(t_star), Strided(n_steps, n_steps * dt), step),))


def _over_labels(purifier: Purifier, calibration: Calibration) -> Purifier:
    """The score norm at labels 999 t, where the code has them, though the walk takes integer ones."""
    continuous: Callable[..., Denoiser] | None = getattr(purifier.denoise, "with_continuous_labels", None)
    denoise = purifier.denoise if continuous is None else continuous(VP())
    return dataclasses.replace(purifier, deviation=ScoreNorm(denoise, VP(), calibration.n_levels))


def _shifted(purifier: Purifier, shift: float) -> Purifier:
    rounds = tuple(
        dataclasses.replace(round, step=Shifted(round.step, purifier.schedule, shift)) for round in purifier.rounds
    )
    return dataclasses.replace(purifier, rounds=rounds)
