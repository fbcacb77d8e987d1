"""SSNI (arXiv:2506.06027): sample-specific noise over any purifier with fixed levels."""

import dataclasses
import math
from collections.abc import Callable

from ssni_jax.core.protocols import Grid, NoiseLevel
from ssni_jax.purify import Calibration, Constant, Purifier, Round, Rounded, ScoreNorm, SsniLinear, SsniSigmoid
from ssni_jax.schedules import VP, IntegerSteps, Strided

Reweight = Callable[[float], NoiseLevel]


def ssni_n(base: Purifier, calibration: Calibration, *, tau: float, bias: float = 0.005) -> Purifier:
    """SSNI-N over any fixed-level purifier: t = (t_star + bias) sigmoid((xi - mean) / tau), to integer steps.

    `tau` is in units of the score norm, `bias` in schedule time (the paper's 5 steps are 0.005).
    """
    if tau <= 0:
        raise ValueError(f"tau={tau} would divide by zero or turn SSNI-N upside down: choose a positive score norm.")
    reweight = lambda t_star: Rounded(SsniSigmoid(calibration.mean, tau, t_star, bias))  # noqa: E731
    return ssni(base, calibration, reweight, bias=bias)


def ssni_l(base: Purifier, calibration: Calibration, *, bias: float = 0.005) -> Purifier:
    """SSNI-L over any fixed-level purifier: t = t_star (xi - low) / (high - low) + bias, to integer steps."""
    reweight = lambda t_star: Rounded(SsniLinear(calibration.low, calibration.high, t_star, bias))  # noqa: E731
    return ssni(base, calibration, reweight, bias=bias)


def ssni(base: Purifier, calibration: Calibration, reweight: Reweight, *, bias: float) -> Purifier:
    """Any purifier with sample-specific noise (arXiv:2506.06027): every round's t_star becomes `reweight(t_star)`.

    Grids of a fixed step size are lengthened by the bias. A calibration of another network is refused. The score norm
    is taken on the continuous VP schedule whatever the base's is, as published and as `ssni calibrate` takes it.
    """
    calibration.check(base.denoise)
    rounds = tuple(_reweighted(each, reweight, bias) for each in base.rounds)
    deviation = ScoreNorm(base.denoise, VP(), calibration.n_levels)
    return dataclasses.replace(base, rounds=rounds, deviation=deviation)


def soft(purifier: Purifier) -> Purifier:
    """The purifier without rounding of t, so that gradients flow through t(x) and the score norm."""
    rounds = tuple(
        dataclasses.replace(each, level=each.level.level) if isinstance(each.level, Rounded) else each
        for each in purifier.rounds
    )
    return dataclasses.replace(purifier, rounds=rounds)


def _reweighted(each: Round, reweight: Reweight, bias: float) -> Round:
    if not isinstance(each.level, Constant):
        raise ValueError(
            f"SSNI reweights a fixed noise level, and this round's is {type(each.level).__name__}: "
            "apply it to a recipe with a constant t_star."
        )
    t_star = each.level.t_star
    return dataclasses.replace(each, level=reweight(t_star), grid=_lengthened(each.grid, t_star, bias))


def _lengthened(grid: Grid, t_star: float, bias: float) -> Grid:
    """Grids of a step size keep it when t may exceed t_star; a grid of shares of t has nothing to keep."""
    if isinstance(grid, IntegerSteps):
        return dataclasses.replace(grid, n_steps=grid.n_steps + round(bias * grid.n))
    if isinstance(grid, Strided):
        n_steps = math.ceil(grid.n_steps * (t_star + bias) / grid.t_max - 1e-6)
        return Strided(n_steps, grid.t_max * n_steps / grid.n_steps)
    return grid
