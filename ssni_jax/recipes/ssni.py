"""SSNI (arXiv:2506.06027): sample-specific noise over any purifier with fixed levels."""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp

from ssni_jax.core.protocols import Deviation, Grid, NoiseLevel, NoiseSchedule
from ssni_jax.purify import Calibration, Constant, Purifier, Round, Rounded, ScoreNorm, SsniLinear, SsniSigmoid
from ssni_jax.schedules import VE, VP, IntegerSteps, Karras, Strided, Uniform

Reweight = Callable[[float], NoiseLevel]


def ssni_n(
    base: Purifier,
    calibration: Calibration,
    *,
    tau: float,
    bias: float = 0.005,
    deviation: Deviation | None = None,
) -> Purifier:
    """SSNI-N over any fixed-level purifier: t = (t_star + bias) sigmoid((xi - mean) / tau), to integer steps.

    `tau` is in units of the score norm, `bias` in schedule time (the paper's 5 steps are 0.005). Another `deviation`
    than the score norm is calibrated by norms of its own.
    """
    if tau <= 0:
        raise ValueError(f"tau={tau} would divide by zero or turn SSNI-N upside down: choose a positive score norm.")
    n = steps_of(base.schedule)
    reweight = lambda t_star: Rounded(SsniSigmoid(calibration.mean, tau, t_star, bias), n)  # noqa: E731
    return ssni(base, calibration, reweight, bias=bias, deviation=deviation)


def ssni_l(
    base: Purifier, calibration: Calibration, *, bias: float = 0.005, deviation: Deviation | None = None
) -> Purifier:
    """SSNI-L over any fixed-level purifier: t = t_star (xi - low) / (high - low) + bias; otherwise as `ssni_n`."""
    n = steps_of(base.schedule)
    reweight = lambda t_star: Rounded(SsniLinear(calibration.low, calibration.high, t_star, bias), n)  # noqa: E731
    return ssni(base, calibration, reweight, bias=bias, deviation=deviation)


def ssni(
    base: Purifier,
    calibration: Calibration,
    reweight: Reweight,
    *,
    bias: float,
    deviation: Deviation | None = None,
) -> Purifier:
    """Any purifier with sample-specific noise (arXiv:2506.06027): every round's t_star becomes `reweight(t_star)`.

    One deviation, measured on the input, reweights every round. Grids of a fixed step size are lengthened by the bias.
    A calibration of another network than the one that measures is refused. By default that is the score norm of the
    base's denoiser on the continuous VP schedule, whatever the base's, as published and as `ssni calibrate` takes it.

    A variance-exploding base is put on the VP schedule first, with the same noise: its own time is the noise itself, in
    which a bias of 0.005 and steps of 0.001 would mean something else.
    """
    deviation = ScoreNorm(base.denoise, VP(), calibration.n_levels) if deviation is None else deviation
    calibration.check(getattr(deviation, "denoise", base.denoise))
    base = in_vp_time(base)
    rounds = tuple(_reweighted(each, reweight, bias) for each in base.rounds)
    return dataclasses.replace(base, rounds=rounds, deviation=deviation)


def steps_of(schedule: NoiseSchedule) -> int:
    """How many integer steps the schedule counts, to which t(x) is rounded; a continuous one has 1000."""
    return getattr(schedule, "n", 1000)


def in_vp_time(base: Purifier) -> Purifier:
    """A purifier on the variance-exploding schedule as the same one on the VP schedule; any other is left alone."""
    if not isinstance(base.schedule, VE):
        return base
    return dataclasses.replace(base, schedule=VP(), rounds=tuple(_retimed(each) for each in base.rounds))


def _retimed(each: Round) -> Round:
    if isinstance(each.grid, Karras):
        grid = dataclasses.replace(each.grid, schedule=VP())
    elif isinstance(each.grid, Uniform) and each.grid.n_steps == 1:
        grid = each.grid
    else:
        raise ValueError(
            f"{type(each.grid).__name__} divides the variance-exploding schedule's own time, which SSNI leaves: "
            "give the levels by Karras, whose rho=1 divides noise evenly."
        )
    return dataclasses.replace(each, level=Constant(_vp_time(_fixed(each))), grid=grid)


def _vp_time(sigma: float) -> float:
    return float(VP().inverse(jnp.asarray(sigma, jnp.float32)))


def _fixed(each: Round) -> float:
    if not isinstance(each.level, Constant):
        raise ValueError(
            f"SSNI reweights a fixed noise level, and this round's is {type(each.level).__name__}: "
            "apply it to a recipe with a constant t_star."
        )
    return each.level.t_star


def _reweighted(each: Round, reweight: Reweight, bias: float) -> Round:
    t_star = _fixed(each)
    return dataclasses.replace(each, level=reweight(t_star), grid=_lengthened(each.grid, t_star, bias))


def _lengthened(grid: Grid, t_star: float, bias: float) -> Grid:
    """Grids of a step size keep it when t may exceed t_star; a grid of shares of t has nothing to keep."""
    if isinstance(grid, IntegerSteps):
        return dataclasses.replace(grid, n_steps=grid.n_steps + round(bias * grid.n))
    if isinstance(grid, Strided):
        n_steps = math.ceil(grid.n_steps * (t_star + bias) / grid.t_max - 1e-6)
        return Strided(n_steps, grid.t_max * n_steps / grid.n_steps)
    return grid
