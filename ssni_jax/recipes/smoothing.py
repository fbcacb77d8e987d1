"""Denoised smoothing (Salman et al. 2020, arXiv:2003.01908) with any purifier: the noise comes from outside."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp

from ssni_jax.core.protocols import Grid, NoiseSchedule
from ssni_jax.purify import AsGiven, Constant, Defense, Purifier, Round, Vote
from ssni_jax.recipes.one_step import time_of
from ssni_jax.schedules import Clock, Karras, Strided

EXACT = 1e-5


def denoised(predict: Any, sigma: float) -> Any:
    """A Purifier, Defense or Vote for images that smoothing noised: x + sigma n in the [0, 1] range.

    Its first round takes that state as it is, at the time whose noise is 2 sigma, whatever its own level was; repeats
    and later rounds stay as they are. Without rounds nothing changes. Steps of one size keep it, and the walk is as
    long as the noise needs; a number of steps stays. Refused where the noise cannot be exactly 2 sigma.
    """
    if isinstance(predict, Vote):
        return dataclasses.replace(predict, predict=denoised(predict.predict, sigma))
    if isinstance(predict, Defense):
        return dataclasses.replace(predict, purify=denoised(predict.purify, sigma))
    if not isinstance(predict, Purifier):
        raise ValueError(f"{type(predict).__name__} is no Purifier, Defense or Vote, whose noise could be given to it.")
    if not predict.rounds:
        return predict
    first, *later = predict.rounds
    rest = [dataclasses.replace(first, repeats=first.repeats - 1)] if first.repeats > 1 else []
    given = _given(predict.schedule, first, sigma)
    return dataclasses.replace(predict, rounds=(given, *rest, *later))


def _given(schedule: NoiseSchedule, each: Round, sigma: float) -> Round:
    """The round from a state that has the noise 2 sigma already, once."""
    if not isinstance(each.level, Constant):
        raise ValueError(
            f"smoothing fixes the noise of the first round, and this one chooses its own by {type(each.level).__name__}"
            ": certify the method that it reweights instead."
        )
    if isinstance(schedule, Clock):
        raise ValueError("the levels of this method are times and no noise: it cannot start at the noise of smoothing.")
    t = time_of(schedule, sigma)
    grid = _fitted(each.grid, schedule, float(each.level.t_star), t)
    told = _noise(schedule, grid(jnp.full(1, t, jnp.float32))[0, 0])
    if abs(told - 2 * sigma) > EXACT * sigma:
        raise ValueError(
            f"the {type(schedule).__name__} schedule and its grid {type(grid).__name__} make the noise {told:.6g} of "
            f"2 sigma = {2 * sigma:g}: choose a schedule that reaches it and a grid that divides it, such as Uniform."
        )
    return dataclasses.replace(each, level=Constant(t), grid=grid, noise=AsGiven(), repeats=1)


def _fitted(grid: Grid, schedule: NoiseSchedule, before: float, t: float) -> Grid:
    """A grid made for the time `before` from t on: steps of one size keep it, equal parts of noise stay equal."""
    if isinstance(grid, Strided):
        n_steps = max(1, math.ceil(t * grid.n_steps / grid.t_max - 1e-3))
        return Strided(n_steps, grid.t_max * n_steps / grid.n_steps)
    if isinstance(grid, Karras) and grid.rho == 1:
        part = _noise(schedule, before) / grid.n_steps
        is_equal = math.isclose(grid.sigma_min, part, rel_tol=1e-4)
        return dataclasses.replace(grid, sigma_min=_noise(schedule, t) / grid.n_steps) if is_equal else grid
    return grid


def _noise(schedule: NoiseSchedule, t: Any) -> float:
    return float(schedule.sigma(jnp.asarray(t, jnp.float32)))
