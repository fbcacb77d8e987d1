"""SSNI and its score norm."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.convert.family import Converted
from ssni_jax.core.arrays import row_norm
from ssni_jax.core.protocols import Denoiser
from ssni_jax.purify import Calibration, Held, Purifier, ScoreNorm
from ssni_jax.recipes import ddpm_released, ssni_l_released, ssni_n_released
from ssni_jax.schedules import VE, VP
from ssni_jax.solvers import Ancestral
from tests.reference.methods.case import Io, Outputs, by_index, denoiser, nchw, nhwc, purified
from tests.reference.methods.recorded import recorded, rows

N = 1000


def eps(converted: Converted, io: Io) -> Outputs:
    """The expected perturbation score and its norm, at perturbed images over the recorded noise and at the image."""
    noise, x = nhwc(io["in_noise"]), 2 * nhwc(io["in_x01"]) - 1
    perturbed = ScoreNorm(denoiser(converted), converted.around.schedule, n_levels=len(noise))
    found = {}
    for name, norm in {"plain": dataclasses.replace(perturbed, perturbed=False), "perturbed": perturbed}.items():
        with recorded(noise, [(i + 1,) for i in range(len(noise))]):
            vector = jax.jit(lambda norm, x: norm.vector(rows(len(x)), x))(norm, x)
        found |= {name: nchw(vector), f"{name}_norm": np.asarray(row_norm(vector))}
    return found


def ssni_n_ddpm(converted: Converted, io: Io) -> Outputs:
    return ssni_n(converted, io, Ancestral())


def ssni_n_ddim(converted: Converted, io: Io) -> Outputs:
    return ssni_n(converted, io, Ancestral(eta=0.0))


def ssni_n(converted: Converted, io: Io, step: Ancestral) -> Outputs:
    """Bias 5 and temperature 20 over rounds of 10, 20 and 30 steps, or the last of them."""
    steps = [10, 20, 30][-len(io["out_t"]) :]
    base = ddpm_released(by_index(converted), t_stars=steps, n_steps=steps, step=step)
    return sample_specific(ssni_n_released(base, calibration(base.denoise, io)), io)


def ssni_l_ddpm(converted: Converted, io: Io) -> Outputs:
    """Bias 5 over one round of 30 steps; the case's walk starts where its noise is."""
    base = ddpm_released(by_index(converted), t_stars=[30], n_steps=[30])
    return sample_specific(ssni_l_released(base, calibration(base.denoise, io)), io)


def index_table(n_steps: int, n_times: int) -> np.ndarray:
    """The ascending indices of `n_steps` steps of the released base purifier, a row for each integer t from 1."""
    (each,) = ddpm_released(VE(), t_stars=[n_steps], n_steps=[n_steps]).rounds
    t = jnp.arange(1, n_times + 1, dtype=jnp.float32) / N
    return integers(each.grid(VE(), t)[-2::-1]).T - 1


def calibration(denoise: Denoiser, io: Io) -> Calibration:
    norms = io["in_reference_norms"].tolist()
    return Calibration.measured(ScoreNorm(denoise, VP(), 20), norms, data="case", images="reference norms")


def sample_specific(purifier: Purifier, io: Io) -> Outputs:
    """Images, integer times and indices, for the score norms that the case gives."""
    purifier = dataclasses.replace(purifier, deviation=Held(jnp.asarray(io["in_norm"], jnp.float32)))
    grids: list[Any] = [each.grid for each in purifier.rounds]
    done = purified(purifier, nhwc(io["in_x01"]), nhwc(io["in_noise"]), [grid.n_steps for grid in grids])
    indices = {
        f"index_sequence_{i}": integers(grid(VE(), t)[-2::-1]).T - 1
        for i, (grid, t) in enumerate(zip(grids, done.t, strict=True))
    }
    return {"t": integers(done.t), "purified01": nchw(done.image), **indices}


def integers(times: jax.Array) -> np.ndarray:
    """Times that are multiples of a step, as counts of it; others show as fractions, which no case has."""
    counts = np.asarray(times, np.float64) * N
    whole = np.round(counts)
    return np.where(np.abs(counts - whole) < 1e-4, whole, counts)
